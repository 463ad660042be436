"""The reconciler role: truth about orders, fills, money and positions, from evidence only."""
