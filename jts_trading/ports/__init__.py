"""The seams between deciding and acting, as protocols."""
