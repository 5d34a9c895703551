//! From a template's text to its tree.

use serde_json::Value;

use super::TemplateError;
use super::cursor::Cursor;
use super::functions;
use super::value::Val;

/// Deepest nesting of blocks or parentheses: nobody writes it by hand, and a deeper one would overrun the stack.
const DEEPEST: usize = 50;

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    If(Pipeline, Vec<Node>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range(Pipeline, Vec<Node>, Vec<Node>),
    Break,
    Continue,
}

/// Commands, each of which gets what the one before yields.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// The text, for messages.
    pub(super) source: String,
    pub(super) declare: Vec<String>,
    /// Is a variable that exists given another value?
    pub(super) assigns: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

#[derive(Debug)]
pub(super) enum Operand {
    /// `.`, or fields of it.
    Fields(Vec<String>),
    /// `$name`, or fields of it.
    Variable(String, Vec<String>),
    Literal(Val),
    Parenthesis(Box<Pipeline>, Vec<String>),
    Function(String),
}

pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser {
        cursor: Cursor::new(text),
        variables: vec!["$".to_owned()],
        depth: 0,
        ranges: 0,
        trim: false,
    };
    let (nodes, end) = parser.nodes()?;
    match end {
        None => Ok(nodes),
        Some(end) => Err(parser
            .cursor
            .wrong(format!("unexpected {{{{{}}}}}", end.word()))),
    }
}

/// What ends a list of nodes, other than the end of the text.
enum End {
    /// `end`.
    Block,
    Else,
    /// `else if` or `else with`: a block of its own.
    ElseBlock(Word),
}

impl End {
    fn word(&self) -> &'static str {
        match self {
            Self::Block => "end",
            Self::Else | Self::ElseBlock(_) => "else",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    If,
    With,
    Range,
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    /// Variables that are known here.
    variables: Vec<String>,
    depth: usize,
    /// How many `range` blocks we are in.
    ranges: usize,
    /// Does the text that follows lose its leading space?
    trim: bool,
}

impl Parser<'_> {
    fn nodes(&mut self) -> Result<(Vec<Node>, Option<End>), TemplateError> {
        let mut nodes = Vec::new();
        loop {
            let rest = self.cursor.rest();
            let len = rest.find("{{").unwrap_or(rest.len());
            let mut text = rest.get(..len).unwrap_or_default();
            let whole = text.len();
            if self.trim {
                text = text.trim_start();
            }
            let after = rest.get(len..).unwrap_or_default();
            let trims = after
                .strip_prefix("{{-")
                .is_some_and(|rest| rest.starts_with(char::is_whitespace));
            if trims {
                text = text.trim_end();
            }
            if !text.is_empty() {
                nodes.push(Node::Text(text.to_owned()));
            }
            self.cursor.take(whole);
            if !self.cursor.eat("{{") {
                return Ok((nodes, None));
            }
            if trims {
                self.cursor.eat("-");
            }
            if let Some(end) = self.action(&mut nodes)? {
                return Ok((nodes, Some(end)));
            }
        }
    }

    /// Reads what is between the braces.
    fn action(&mut self, nodes: &mut Vec<Node>) -> Result<Option<End>, TemplateError> {
        self.cursor.space();
        if self.cursor.eat("/*") {
            let Some(len) = self.cursor.rest().find("*/") else {
                return Err(self.cursor.wrong("unclosed comment"));
            };
            self.cursor.take(len + 2);
            self.close()?;
            return Ok(None);
        }
        let mut ahead = self.cursor.clone();
        let word = ahead.take_while(char::is_alphanumeric);
        match word {
            "end" => {
                self.cursor = ahead;
                self.close()?;
                return Ok(Some(End::Block));
            }
            "else" => {
                self.cursor = ahead;
                self.cursor.space();
                for (text, word) in [("if", Word::If), ("with", Word::With)] {
                    let mut ahead = self.cursor.clone();
                    if ahead.take_while(char::is_alphanumeric) == text {
                        self.cursor = ahead;
                        return Ok(Some(End::ElseBlock(word)));
                    }
                }
                self.close()?;
                return Ok(Some(End::Else));
            }
            "if" | "with" | "range" => {
                self.cursor = ahead;
                let word = match word {
                    "if" => Word::If,
                    "with" => Word::With,
                    _ => Word::Range,
                };
                let block = self.block(word)?;
                nodes.push(block);
            }
            "break" | "continue" => {
                if self.ranges == 0 {
                    return Err(self
                        .cursor
                        .wrong(format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                self.cursor = ahead;
                self.close()?;
                nodes.push(if word == "break" {
                    Node::Break
                } else {
                    Node::Continue
                });
            }
            "define" | "template" | "block" => {
                return Err(self
                    .cursor
                    .wrong(format!("{{{{{word}}}}} is not supported")));
            }
            _ => {
                let pipeline = self.pipeline(1)?;
                self.close()?;
                nodes.push(Node::Print(pipeline));
            }
        }
        Ok(None)
    }

    /// Reads a block after its first word.
    fn block(&mut self, word: Word) -> Result<Node, TemplateError> {
        self.deeper()?;
        let known = self.variables.len();
        self.cursor.space();
        let pipeline = self.pipeline(if word == Word::Range { 2 } else { 1 })?;
        self.close()?;
        self.ranges += usize::from(word == Word::Range);
        let (then, end) = self.nodes()?;
        self.ranges -= usize::from(word == Word::Range);
        let other = match end {
            None => return Err(self.cursor.wrong("unexpected end: {{end}} is missing")),
            Some(End::Block) => Vec::new(),
            Some(End::Else) => match self.nodes()? {
                (other, Some(End::Block)) => other,
                (_, None) => return Err(self.cursor.wrong("unexpected end: {{end}} is missing")),
                (_, Some(_)) => return Err(self.cursor.wrong("a second {{else}}")),
            },
            Some(End::ElseBlock(_)) if word == Word::Range => {
                return Err(self.cursor.wrong("{{range}} has a plain {{else}} only"));
            }
            // It ends with the same {{end}}.
            Some(End::ElseBlock(word)) => vec![self.block(word)?],
        };
        self.variables.truncate(known);
        self.depth -= 1;
        Ok(match word {
            Word::If => Node::If(pipeline, then, other),
            Word::With => Node::With(pipeline, then, other),
            Word::Range => Node::Range(pipeline, then, other),
        })
    }

    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.cursor.wrong("it is nested too deeply"));
        }
        Ok(())
    }

    /// Reads the end of an action.
    fn close(&mut self) -> Result<(), TemplateError> {
        self.cursor.space();
        let spaced = self.cursor.before().is_some_and(char::is_whitespace);
        self.trim = spaced && self.cursor.eat("-}}");
        if self.trim || self.cursor.eat("}}") {
            return Ok(());
        }
        Err(match self.cursor.peek() {
            None => self.cursor.wrong("unclosed action"),
            Some(letter) => self.cursor.wrong(format!("unexpected {letter:?}")),
        })
    }

    fn is_closing(&self) -> bool {
        let rest = self.cursor.rest();
        rest.starts_with("}}") || rest.starts_with("-}}") || rest.is_empty()
    }

    fn pipeline(&mut self, most_variables: usize) -> Result<Pipeline, TemplateError> {
        let start = self.cursor.place();
        let (declare, assigns) = self.declaration(most_variables)?;
        let mut commands = Vec::new();
        loop {
            let command = self.command()?;
            commands.push(command);
            if !self.cursor.eat("|") {
                break;
            }
            self.cursor.space();
        }
        for name in &declare {
            if assigns && !self.variables.contains(name) {
                return Err(self.cursor.wrong(format!("undefined variable {name}")));
            }
        }
        if !assigns {
            self.variables.extend(declare.iter().cloned());
        }
        Ok(Pipeline {
            source: self.cursor.since(start).trim().to_owned(),
            declare,
            assigns,
            commands,
        })
    }

    /// Reads `$x :=`, `$x =` or `$x, $y :=`, if one of them comes.
    fn declaration(&mut self, most: usize) -> Result<(Vec<String>, bool), TemplateError> {
        let mut ahead = self.cursor.clone();
        let mut names = Vec::new();
        loop {
            if ahead.peek() != Some('$') {
                return Ok((Vec::new(), false));
            }
            names.push(variable(&mut ahead));
            ahead.space();
            if ahead.eat(":=") || (!ahead.rest().starts_with("==") && ahead.eat("=")) {
                break;
            }
            if !ahead.eat(",") {
                return Ok((Vec::new(), false));
            }
            ahead.space();
        }
        if names.len() > most {
            return Err(self.cursor.wrong("too many variables"));
        }
        let assigns = !self
            .cursor
            .rest()
            .get(..ahead.place() - self.cursor.place())
            .is_some_and(|text| text.ends_with(":="));
        self.cursor = ahead;
        self.cursor.space();
        Ok((names, assigns))
    }

    fn command(&mut self) -> Result<Vec<Operand>, TemplateError> {
        let mut operands = Vec::new();
        loop {
            self.cursor.space();
            if self.is_closing() || matches!(self.cursor.peek(), Some('|' | ')')) {
                break;
            }
            let operand = self.operand()?;
            if !operands.is_empty() && matches!(operand, Operand::Function(_)) {
                // A function without arguments is a value as well.
                operands.push(Operand::Parenthesis(
                    Box::new(Pipeline {
                        source: String::new(),
                        declare: Vec::new(),
                        assigns: false,
                        commands: vec![vec![operand]],
                    }),
                    Vec::new(),
                ));
                continue;
            }
            operands.push(operand);
        }
        if operands.is_empty() {
            return Err(self.cursor.wrong("missing value"));
        }
        Ok(operands)
    }

    fn operand(&mut self) -> Result<Operand, TemplateError> {
        let Some(letter) = self.cursor.peek() else {
            return Err(self.cursor.wrong("unclosed action"));
        };
        match letter {
            '.' => {
                let fields = self.fields()?;
                if fields.is_empty() {
                    self.cursor.next();
                }
                Ok(Operand::Fields(fields))
            }
            '$' => {
                let name = variable(&mut self.cursor);
                if !self.variables.contains(&name) {
                    return Err(self.cursor.wrong(format!("undefined variable {name}")));
                }
                Ok(Operand::Variable(name, self.fields()?))
            }
            '(' => {
                self.deeper()?;
                self.cursor.next();
                self.cursor.space();
                let pipeline = self.pipeline(0)?;
                self.cursor.space();
                if !self.cursor.eat(")") {
                    return Err(self.cursor.wrong("unclosed left parenthesis"));
                }
                self.depth -= 1;
                Ok(Operand::Parenthesis(Box::new(pipeline), self.fields()?))
            }
            '"' => self.quoted().map(Operand::Literal),
            '`' => {
                self.cursor.next();
                let text = self.cursor.take_while(|letter| letter != '`').to_owned();
                if self.cursor.next().is_none() {
                    return Err(self.cursor.wrong("unterminated raw quoted string"));
                }
                Ok(Operand::Literal(Val::Text(text)))
            }
            '\'' => self.character(),
            '0'..='9' | '-' | '+' => self.number(),
            letter if letter.is_alphabetic() || letter == '_' => {
                let word = self.cursor.take_while(is_name);
                Ok(match word {
                    "true" => Operand::Literal(Val::bool(true)),
                    "false" => Operand::Literal(Val::bool(false)),
                    "nil" => Operand::Literal(Val::Data(Value::Null)),
                    word if functions::exists(word) => Operand::Function(word.to_owned()),
                    word => {
                        return Err(self.cursor.wrong(format!("function {word:?} not defined")));
                    }
                })
            }
            letter => Err(self.cursor.wrong(format!("unexpected {letter:?}"))),
        }
    }

    /// Reads `.a.b`; nothing if no name follows the dot.
    fn fields(&mut self) -> Result<Vec<String>, TemplateError> {
        let mut fields = Vec::new();
        loop {
            let mut ahead = self.cursor.clone();
            if !ahead.eat(".") {
                return Ok(fields);
            }
            let name = ahead.take_while(is_name);
            if name.is_empty() {
                if fields.is_empty() {
                    return Ok(fields);
                }
                return Err(self.cursor.wrong("a field's name is missing"));
            }
            fields.push(name.to_owned());
            self.cursor = ahead;
        }
    }

    fn quoted(&mut self) -> Result<Val, TemplateError> {
        self.cursor.next();
        let mut text = String::new();
        loop {
            match self.cursor.next() {
                None | Some('\n') => return Err(self.cursor.wrong("unterminated quoted string")),
                Some('"') => return Ok(Val::Text(text)),
                Some('\\') => text.push(self.escape()?),
                Some(letter) => text.push(letter),
            }
        }
    }

    fn escape(&mut self) -> Result<char, TemplateError> {
        let digits = match self.cursor.next() {
            Some('n') => return Ok('\n'),
            Some('t') => return Ok('\t'),
            Some('r') => return Ok('\r'),
            Some(letter @ ('\\' | '"' | '\'')) => return Ok(letter),
            Some('x') => 2,
            Some('u') => 4,
            _ => return Err(self.cursor.wrong("unknown escape")),
        };
        let number = self.cursor.rest().get(..digits);
        let letter = number
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .and_then(char::from_u32);
        self.cursor.take(digits);
        letter.ok_or_else(|| self.cursor.wrong("unknown escape"))
    }

    fn character(&mut self) -> Result<Operand, TemplateError> {
        self.cursor.next();
        let letter = match self.cursor.next() {
            Some('\\') => self.escape()?,
            Some(letter) => letter,
            None => return Err(self.cursor.wrong("unterminated character constant")),
        };
        if !self.cursor.eat("'") {
            return Err(self.cursor.wrong("unterminated character constant"));
        }
        Ok(Operand::Literal(Val::Data(Value::from(u32::from(letter)))))
    }

    fn number(&mut self) -> Result<Operand, TemplateError> {
        let start = self.cursor.place();
        self.cursor.take_while(|letter| {
            letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '+' | '_')
        });
        let text = self.cursor.since(start);
        let value = text.parse::<i64>().map(Value::from).or_else(|_| {
            let whole = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<f64>().map_err(|_| ()).and_then(|value| {
                // A whole number that is no i64 would silently be another.
                if whole {
                    Err(())
                } else {
                    serde_json::Number::from_f64(value)
                        .map(Value::Number)
                        .ok_or(())
                }
            })
        });
        match value {
            Ok(value) => Ok(Operand::Literal(Val::Data(value))),
            Err(()) => Err(self.cursor.wrong(format!("bad number syntax: {text:?}"))),
        }
    }
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn variable(cursor: &mut Cursor<'_>) -> String {
    cursor.next();
    format!("${}", cursor.take_while(is_name))
}
