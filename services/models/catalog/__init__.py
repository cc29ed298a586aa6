"""The catalog: the vendors and their models, with facts, prices, dates and replacements; rows and listings."""
