"""The catalog: the vendors and their models, with facts, prices, dates and replacements, from our rows and their lists."""
