"""What `import raysweep` offers; it needs nothing of the command line."""
