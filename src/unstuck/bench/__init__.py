"""What this machine and this store can do: the measurements behind `unstuck bench`."""
