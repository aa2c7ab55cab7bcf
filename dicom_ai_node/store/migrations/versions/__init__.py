"""One file per step; a file that has been released is never changed."""
