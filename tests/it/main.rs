//! Integration tests: a module a concern.
