//! The Dockerfile language: text to checked instructions, nothing built yet.
//!
//! Text goes through four hands: `lexer` joins continued lines and takes here-documents out, `words` cuts lines, `instruction`
//! gives them meaning, and `parser` puts a file together. `checks` looks for what is allowed and hardly meant. [`expand`] replaces variables later, when their values are known.
//! The language is Docker's (<https://docs.docker.com/reference/dockerfile/>). What the builder cannot do is refused
//! here by name and line, before anything is read from the context or fetched.

pub mod checks;
mod error;
pub mod expand;
mod healthcheck;
mod heredoc;
mod instruction;
mod lexer;
mod parser;
mod substitute;
mod suggest;
mod words;

pub(crate) use error::Fault;
pub use error::{ContainerfileError, Location, Place, Problem};
pub use healthcheck::Check;
pub use heredoc::HereDocument;
pub(super) use heredoc::is_opening;
pub use instruction::{
    Argument, CommandLine, Copy, From, Instruction, Kind, Pair, Pairs, Run, StageName, Verb,
};
pub use parser::{Containerfile, Stage, parse, parse_trigger};
pub use words::Word;
