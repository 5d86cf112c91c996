"""Pages of the monitors. Thin: who may, what was asked, which template."""
