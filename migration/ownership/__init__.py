"""Who makes an object on green, what it does outside of its cluster, and so what becomes of it there."""
