//! In-memory ports and fixtures for tests and simulation.
