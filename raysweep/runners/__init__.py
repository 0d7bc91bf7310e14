"""All that runs a study: here, through Ray, or as a job of a cluster."""
