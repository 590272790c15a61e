"""Attempts to falsify certificates: a certificate is only worth what it survives."""

from latentsmooth.attacks.falsify import attack_certificates
from latentsmooth.attacks.gradient import SmoothedGradient
from latentsmooth.attacks.plot import draw_flips, save_flips
from latentsmooth.attacks.result import Answer, AttackedCertificate, AttackReport
from latentsmooth.attacks.run import attack_log, check_belongs
from latentsmooth.attacks.search import attack_beyond, attack_inside
from latentsmooth.attacks.settings import AttackSettings, Target
from latentsmooth.attacks.table import summary_notes, summary_table

__all__ = [
    "Answer",
    "AttackReport",
    "AttackSettings",
    "AttackedCertificate",
    "SmoothedGradient",
    "Target",
    "attack_beyond",
    "attack_certificates",
    "attack_inside",
    "attack_log",
    "check_belongs",
    "draw_flips",
    "save_flips",
    "summary_notes",
    "summary_table",
]
