"""The demo: four real domains, learned one after another."""
