"""Parts of a request that all dialects write alike: media, parameters, options, and the notices and refusals of a
translation."""
