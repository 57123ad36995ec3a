//! Integration tests of the tree.
