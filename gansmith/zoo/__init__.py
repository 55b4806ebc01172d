"""The zoo: one file per named GAN; the file name is the recipe's name. Loaded by name only (gansmith.recipes)."""
