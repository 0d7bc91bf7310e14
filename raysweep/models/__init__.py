"""Packed pairs of encoders: the leading axis of every array is the member, m."""
