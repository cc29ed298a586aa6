"""Provider adapters: each speaks one provider's dialect. `base` is the contract, `exchange` the two verbs over it."""
