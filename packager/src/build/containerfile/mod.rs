//! The Dockerfile language: text to checked instructions, nothing built yet.
//!
//! Text goes through four hands: `lexer` joins continued lines, `words` cuts them, `instruction` gives them meaning, and
//! `parser` puts a file together. [`expand`] replaces variables later, when their values are known.
//! The language is Docker's (<https://docs.docker.com/reference/dockerfile/>). What the builder cannot do is refused
//! here by name and line, before anything is read from the context or fetched.

mod error;
pub mod expand;
mod instruction;
mod lexer;
mod parser;
mod suggest;
mod words;

pub(crate) use error::Fault;
pub use error::{ContainerfileError, Location, Place, Problem};
pub use instruction::{Argument, CommandLine, Copy, From, Instruction, Kind, Pair, Verb};
pub use parser::{Containerfile, parse};
pub use words::Word;
