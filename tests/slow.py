"""Which tests `make check` leaves to `make test`: those that take longest.

Named here rather than where they stand, so that one look tells what the short run omits. A test is
named where it took more than a second, or all its cases together more than three, in the whole run
(`make test PYTEST_FLAGS='--durations=100'`); `make check` ends with its ten slowest, of which any
that is far above a second belongs here. `test_slow` fails where a name has gone stale and where a
folder has nothing left.
"""

from __future__ import annotations

SLOW: dict[str, tuple[str, ...]] = {
    "tests/attacks/test_geometry.py": ("test_distances_are_rounded_up_however_many_pixels",),
    "tests/attacks/test_half_space.py": (
        "test_radii_inflated_are_all_flipped",
        "test_true_radii_stand_and_the_nearest_flip_is_where_it_is",
    ),
    "tests/attacks/test_result.py": ("test_plots_are_written_whole_and_the_same_again",),
    "tests/attacks/test_run.py": ("test_an_attack_goes_on_where_it_stopped",),
    "tests/bench/test_comparison.py": (
        "test_every_kind_stands_in_the_result",
        "test_memory_of_a_fresh_process",
        "test_peak_memory_sees_an_allocation",
        "test_towards_a_goal_there_are_more_images",
    ),
    "tests/bench/test_contenders.py": (
        "test_art_draws_votes_of_the_same_law",
        "test_importing_bench_and_the_verifier_imports_no_peer",
    ),
    "tests/certification/test_bounds.py": (
        "test_lower_tail_at_the_upper_bound_is_alpha_and_never_more",
        "test_tail_at_the_bound_is_alpha_and_never_more",
    ),
    "tests/certification/test_engine.py": (
        "test_certificates_do_not_depend_on_how_images_are_scheduled",
        "test_real_certifications_exceed_the_true_radius_at_most_alpha_of_the_time",
    ),
    "tests/certification/test_rules_simulation.py": (
        "test_false_claims_stay_within_alpha",
        "test_giving_up_early_saves_draws_and_loses_few_images",
        "test_ties_of_three_classes_are_decided_at_most_alpha_often",
    ),
    "tests/cli/test_attack.py": (
        "test_a_control_succeeds_where_it_flips",
        "test_a_false_log_is_found_out",
        "test_an_honest_log_stands",
        "test_data_without_splits_are_attacked",
    ),
    "tests/cli/test_bench.py": (
        "test_bench_prints_tables_and_writes_files",
        "test_goal_of_a_trained_model",
    ),
    "tests/cli/test_certify.py": (
        "test_images_that_stop_at_different_times_resume_all_the_same",
        "test_kill_9_and_the_same_command_again_give_the_uninterrupted_log",
    ),
    "tests/cli/test_config_file.py": (
        "test_hostile_files_are_refused_in_one_short_line",
        "test_plain_files_give_the_values_they_hold",
    ),
    "tests/cli/test_hostile_names.py": ("test_predictions_show_names_defused",),
    "tests/cli/test_interrupts.py": (
        "test_a_full_disk_is_one_error_and_training_goes_on_when_there_is_room",
        "test_a_log_that_may_not_grow_is_one_error_and_goes_on_later",
        "test_certify_stops_says_how_to_go_on_and_goes_on",
        "test_train_stops_and_goes_on_to_the_same_weights",
    ),
    "tests/cli/test_main.py": (
        "test_audit_prints_factors_and_product",
        "test_mistakes_take_one_line_and_the_right_code",
    ),
    "tests/cli/test_predict.py": (
        "test_predictions_are_written_in_every_form",
        "test_predictions_do_not_depend_on_bad_neighbours",
    ),
    "tests/cli/test_sweep.py": ("test_a_sweep_is_interrupted_gone_on_with_and_drawn_anew",),
    "tests/cli/test_texts.py": (
        "test_any_text_comes_back",
        "test_any_whole_number_comes_back",
        "test_files_of_odd_names_are_written",
    ),
    "tests/cli/test_unlabelled.py": ("test_no_labels",),
    "tests/fuzz/test_artifact.py": (
        "test_altered_configs",
        "test_builds_that_the_weights_are_not_of",
        "test_damaged_configs",
        "test_damaged_weights_with_their_hash",
        "test_no_damage_passes_the_hash",
        "test_weights_of_altered_headers",
    ),
    "tests/fuzz/test_images.py": (
        "test_altered_pngs_with_their_checksums",
        "test_damaged_idx",
        "test_damaged_images",
        "test_damaged_parquet",
        "test_odd_schemas_and_rows",
    ),
    "tests/fuzz/test_listings.py": (
        "test_damaged_lines",
        "test_damaged_tables",
        "test_odd_cells",
        "test_odd_lines",
    ),
    "tests/fuzz/test_logs.py": (
        "test_anything_at_all",
        "test_published_files",
        "test_reading",
        "test_resuming",
    ),
    "tests/fuzz/test_yaml.py": (
        "test_damaged_recipes",
        "test_written_files",
    ),
    "tests/images/test_decoding.py": ("test_the_largest_transparent_image_fits_into_a_gigabyte",),
    "tests/images/test_hostile_tables.py": (
        "test_lists_in_place_of_labels_are_refused_unread",
        "test_lists_in_place_of_paths_are_not_made_python_s",
    ),
    "tests/images/test_layout_properties.py": (
        "test_folders",
        "test_parquet",
    ),
    "tests/images/test_random_layouts.py": ("test_a_set_is_read_as_it_was_made",),
    "tests/images/test_tables.py": ("test_local_files_need_no_cache_and_no_datasets",),
    "tests/lipschitz/test_convolution.py": (
        "test_bounds_any_convolution",
        "test_bounds_any_transposed_convolution",
        "test_exact_for_orthogonal_kernels_and_honest_about_their_rounding",
        "test_known_sizes_let_circular_strides_line_up",
    ),
    "tests/lipschitz/test_disturbed.py": ("test_refused",),
    "tests/lipschitz/test_random_programs.py": ("test_random_programs",),
    "tests/lipschitz/test_roundoff.py": ("test_builds",),
    "tests/lipschitz/test_roundoff_followed.py": ("test_random_programs",),
    "tests/lipschitz/test_traced.py": ("test_compiled_modules_are_refused",),
    "tests/models/test_artifact.py": (
        "test_edited_configs_are_refused",
        "test_round_trip_of_every_build",
    ),
    "tests/models/test_builds.py": (
        "test_a_foldable_head_begins_with_a_coisometry",
        "test_builds_take_any_image_size_and_come_back_from_disk",
        "test_encoder_bounds_hold_before_and_after_training_steps",
        "test_reference_latents_have_the_published_shapes",
        "test_what_cheap_heads_begin_with_moves_before_the_noise",
    ),
    "tests/models/test_encoder_bounds.py": (
        "test_bounds_lie_above_what_power_iteration_reaches",
        "test_float32_encoders_at_full_width_are_within_a_hundred_thousandth",
        "test_rounding_to_bfloat16_is_reported",
    ),
    "tests/models/test_orthogonal_builds.py": (
        "test_smooth_images_keep_most_of_their_length_at_the_start",
    ),
    "tests/models/test_packaged.py": ("test_predict_takes_images_of_the_package_beside_files",),
    "tests/orthogonal/test_convolution_grid.py": (
        "test_isometries_are_inverted",
        "test_singular_values_are_one_or_below",
        "test_stay_so_after_steps_saving_and_freezing",
    ),
    "tests/orthogonal/test_factors.py": ("test_assigned_kernels_are_recovered",),
    "tests/orthogonal/test_layers.py": ("test_stays_orthogonal_after_optimiser_steps",),
    "tests/orthogonal/test_like_plain_layers.py": (
        "test_compiles_without_graph_break",
        "test_distributed_data_parallel",
        "test_exports",
    ),
    "tests/orthogonal/test_pointwise.py": ("test_compiles_and_exports_without_a_break",),
    "tests/records/test_log.py": ("test_a_log_cut_at_any_byte_resumes_to_the_same_file",),
    "tests/records/test_run.py": ("test_a_torch_data_set_is_matched_by_name",),
    "tests/reporting/test_curve.py": ("test_files_of_each_kind_are_the_same_bytes_twice",),
    "tests/reporting/test_hostile_names.py": (
        "test_pages_and_curves_are_well_formed_whatever_the_names",
    ),
    "tests/smoothing/test_executor.py": (
        "test_a_real_measurement_is_positive",
        "test_the_compiled_head_answers_as_the_eager_one",
    ),
    "tests/smoothing/test_folding.py": ("test_builds_fold_where_their_heads_narrow",),
    "tests/smoothing/test_inverse.py": (
        "test_noise_lies_on_the_lattice_and_is_gaussian",
        "test_the_distance_stated_covers_that_of_all_levels",
    ),
    "tests/smoothing/test_noise.py": (
        "test_a_library_with_other_bits_is_refused",
        "test_an_unwritable_cache_does_not_matter",
        "test_other_instruction_sets_give_the_same_bits",
        "test_the_library_is_built_once_and_for_this_compiler",
        "test_the_number_of_threads_does_not_matter",
    ),
    "tests/smoothing/test_noise_distribution.py": (
        "test_each_output_of_a_block_is_normal_by_itself",
        "test_the_first_four_moments_are_the_normal_ones",
    ),
    "tests/smoothing/test_scheduler.py": ("test_votes_are_those_of_each_image_alone",),
    "tests/smoothing/test_simplify.py": (
        "test_a_merged_residual_head_goes_on_as_heads_do",
        "test_every_builds_head_keeps_its_answers",
    ),
    "tests/sweep/test_draw.py": (
        "test_every_name_is_drawn_and_none_over_another",
        "test_files_are_the_same_each_time_and_other_suffixes_refused",
    ),
    "tests/sweep/test_pareto.py": (
        "test_frontier_is_what_no_point_dominates_cheapest_first",
        "test_leads_and_rivalries_say_what_each_budget_buys",
    ),
    "tests/sweep/test_sweep.py": (
        "test_a_sweep_writes_what_its_logs_and_classifiers_say",
        "test_given_again_nothing_is_done_again",
        "test_killed_thrice_the_same_call_ends_as_if_never",
        "test_other_images_other_settings_and_other_sweeps_are_refused",
        "test_redrawn_at_other_radii_and_by_another_cost",
        "test_some_runs_only_no_training_and_classifiers_from_elsewhere",
        "test_timing_may_choose_its_own_batches",
    ),
    "tests/test_benchmarks_orthogonal.py": ("test_smallest_run_fills_every_table",),
    "tests/test_files.py": ("test_a_kill_leaves_the_old_file_or_the_new",),
    "tests/test_recipes.py": (
        "test_a_recipe_trains_what_can_be_built",
        "test_a_smoke_recipe_runs_at_224_pixels",
    ),
    "tests/test_results_page.py": (
        "test_pictures_are_drawn_and_what_is_stale_is_named",
        "test_the_committed_page_is_what_the_committed_results_give",
    ),
    "tests/training/test_kill.py": ("test_a_killed_run_ends_as_an_uninterrupted_one",),
    "tests/training/test_loop.py": ("test_the_classifier_learns",),
    "tests/training/test_objectives.py": (
        "test_a_run_goes_on_bit_for_bit",
        "test_every_objective_takes_a_step",
    ),
    "tests/training/test_processes.py": ("test_two_processes_train_as_one",),
}


def is_slow(nodeid: str) -> bool:
    """Whether a test, by pytest's name for it, is one of those named."""
    path, _, name = nodeid.partition("::")
    return name.partition("[")[0] in SLOW.get(path, ())
