"""`python -m dlmd_lsp`: the language server over stdio, without the command line around it."""

from dlmd_lsp.start import main

main()
