"""The command line: one file a subcommand, none with logic of its own."""
