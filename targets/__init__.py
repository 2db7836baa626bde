"""The chips as data: one TOML file per chip and the schema that every one of them obeys."""
