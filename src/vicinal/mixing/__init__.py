"""Mixing: a strategy draws who meets whom; two pure functions apply the draw."""
