//! Coracle, a container engine whose images run unchanged on every system.
//!
//! This package holds the doors and the engine behind them; what they stand on are two libraries.
//!
//! | module | subject |
//! |---|---|
//! | [`cli`] | the command line: what was typed, what it means, what is printed |
//! | [`engine`] | joins images (`coracle_packager`) and containers (`coracle_runtime`) |

#![forbid(unsafe_code)]

pub mod cli;
pub mod engine;
