"""Mixing: a strategy draws who meets whom; pure functions apply the draw."""

from vicinal.mixing import loading as loading
from vicinal.mixing import pairing as pairing
