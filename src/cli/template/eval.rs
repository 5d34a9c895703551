//! Walks a template's tree with data.

use serde_json::Value;

use super::TemplateError;
use super::functions;
use super::parse::{Node, Operand, Pipeline};
use super::value::Val;

/// Most turns of a `range` over a number: it is what the user typed, and a slip must not fill the screen for ever.
const MOST_TURNS: i64 = 100_000;

/// Looks a label up.
type Label<'a> = &'a dyn Fn(&str) -> Option<String>;

pub(super) fn fill(
    nodes: &[Node],
    data: &Value,
    label: Label<'_>,
) -> Result<String, TemplateError> {
    let whole = Val::Data(data.clone());
    let mut state = State {
        variables: vec![("$".to_owned(), whole.clone())],
        label,
        text: String::new(),
    };
    state.nodes(nodes, &whole)?;
    Ok(state.text)
}

struct State<'a> {
    variables: Vec<(String, Val)>,
    label: Label<'a>,
    text: String,
}

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl State<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Val) -> Result<Flow, TemplateError> {
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Val) -> Result<Flow, TemplateError> {
        match node {
            Node::Text(text) => self.text.push_str(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.declare.is_empty() {
                    self.text.push_str(&value.print());
                }
            }
            Node::If(pipeline, then, other) => {
                let known = self.variables.len();
                let value = self.pipeline(pipeline, dot)?;
                let nodes = if value.is_true() { then } else { other };
                let flow = self.nodes(nodes, dot)?;
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::With(pipeline, then, other) => {
                let known = self.variables.len();
                let value = self.pipeline(pipeline, dot)?;
                let flow = if value.is_true() {
                    self.nodes(then, &value)?
                } else {
                    self.nodes(other, dot)?
                };
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::Range(pipeline, then, other) => return self.range(pipeline, then, other, dot),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn range(
        &mut self,
        pipeline: &Pipeline,
        then: &[Node],
        other: &[Node],
        dot: &Val,
    ) -> Result<Flow, TemplateError> {
        let known = self.variables.len();
        let value = self.commands(pipeline, dot)?;
        let number = |index: usize| Val::number(index);
        let turns: Vec<(Val, Val)> = match value {
            Val::Data(Value::Array(list)) => {
                let list = list.into_iter().enumerate();
                list.map(|(index, value)| (number(index), Val::Data(value)))
                    .collect()
            }
            Val::Data(Value::Object(map)) => {
                let map = map.into_iter();
                map.map(|(key, value)| (Val::Data(Value::String(key)), Val::Data(value)))
                    .collect()
            }
            Val::Data(Value::Null) => Vec::new(),
            value => match value.integer() {
                Some(count @ ..=MOST_TURNS) => (0..count)
                    .map(|index| (Val::Data(index.into()), Val::Data(index.into())))
                    .collect(),
                _ => {
                    let problem = format!("range can't iterate over {}", value.sort());
                    return Err(wrong(pipeline, problem));
                }
            },
        };
        let mut flow = Flow::On;
        if turns.is_empty() {
            flow = self.nodes(other, dot)?;
        }
        for (key, value) in turns {
            match pipeline.declare.as_slice() {
                [] => {}
                [name] => self.set(name, value.clone(), pipeline.assigns),
                [first, second, ..] => {
                    self.set(first, key, pipeline.assigns);
                    self.set(second, value.clone(), pipeline.assigns);
                }
            }
            let flow = self.nodes(then, &value)?;
            self.variables.truncate(known);
            if flow == Flow::Break {
                break;
            }
        }
        self.variables.truncate(known);
        Ok(flow)
    }

    fn set(&mut self, name: &str, value: Val, assigns: bool) {
        let known = self
            .variables
            .iter_mut()
            .rev()
            .find(|(known, _)| known == name);
        match known {
            Some((_, old)) if assigns => *old = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Val) -> Result<Val, TemplateError> {
        let value = self.commands(pipeline, dot)?;
        for name in &pipeline.declare {
            self.set(name, value.clone(), pipeline.assigns);
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Val) -> Result<Val, TemplateError> {
        let mut last = None;
        for command in &pipeline.commands {
            let value = self
                .command(command, dot, last)
                .map_err(|error| match error {
                    Problem::Here(problem) => wrong(pipeline, problem),
                    Problem::Within(error) => error,
                })?;
            last = Some(value);
        }
        Ok(last.unwrap_or(Val::Data(Value::Null)))
    }

    fn command(
        &mut self,
        command: &[Operand],
        dot: &Val,
        piped: Option<Val>,
    ) -> Result<Val, Problem> {
        let Some((first, rest)) = command.split_first() else {
            return Err(Problem::Here("missing value".to_owned()));
        };
        if let Operand::Function(name) = first {
            // What is not needed is not looked at.
            if matches!(name.as_str(), "and" | "or") {
                return self.either(name, rest, dot, piped);
            }
            let mut arguments = Vec::new();
            for operand in rest {
                arguments.push(self.operand(operand, dot)?);
            }
            arguments.extend(piped);
            return functions::call(name, &arguments).map_err(Problem::Here);
        }
        if let Operand::Fields(names) | Operand::Variable(_, names) = first
            && let ([.., last], true) = (names.as_slice(), !rest.is_empty() || piped.is_some())
            && last == "Label"
        {
            let argument = match (rest, piped) {
                ([one], None) => self.operand(one, dot)?,
                ([], Some(piped)) => piped,
                _ => return Err(Problem::Here("Label takes one key".to_owned())),
            };
            let found = argument.raw().and_then(|key| (self.label)(key));
            return match found {
                Some(label) => Ok(Val::Data(Value::String(label))),
                None => Err(Problem::Here("there is no field Label".to_owned())),
            };
        }
        if !rest.is_empty() || piped.is_some() {
            return Err(Problem::Here(
                "can't give an argument to what is no function".to_owned(),
            ));
        }
        self.operand(first, dot)
    }

    fn either(
        &mut self,
        name: &str,
        operands: &[Operand],
        dot: &Val,
        piped: Option<Val>,
    ) -> Result<Val, Problem> {
        let mut last = None;
        for operand in operands {
            let value = self.operand(operand, dot)?;
            if value.is_true() == (name == "or") {
                return Ok(value);
            }
            last = Some(value);
        }
        piped
            .or(last)
            .ok_or_else(|| Problem::Here(format!("wrong number of arguments for {name}")))
    }

    fn operand(&mut self, operand: &Operand, dot: &Val) -> Result<Val, Problem> {
        match operand {
            Operand::Fields(names) => field(dot, names),
            Operand::Variable(name, names) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = known.map(|(_, value)| value);
                field(value.unwrap_or(&Val::Data(Value::Null)), names)
            }
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Parenthesis(pipeline, names) => {
                let value = self.pipeline(pipeline, dot).map_err(Problem::Within)?;
                field(&value, names)
            }
            Operand::Function(name) => functions::call(name, &[]).map_err(Problem::Here),
        }
    }
}

/// What went wrong: in this pipeline, or in one within it, which has said where.
enum Problem {
    Here(String),
    Within(TemplateError),
}

fn wrong(pipeline: &Pipeline, problem: String) -> TemplateError {
    TemplateError::Run {
        action: pipeline.source.clone(),
        problem,
    }
}

/// Follows the names of fields. As Docker's fields have two spellings, such as `Id` and `ID`, case does not count where nothing
/// has the very name.
fn field(value: &Val, names: &[String]) -> Result<Val, Problem> {
    let mut at = match value {
        Val::Data(value) => value,
        Val::Text(_) if names.is_empty() => return Ok(value.clone()),
        Val::Text(_) => return Err(Problem::Here("a text has no fields".to_owned())),
    };
    for name in names {
        let Value::Object(map) = at else {
            let sort = Val::Data(at.clone()).sort();
            return Err(Problem::Here(format!("{sort} has no field {name}")));
        };
        let alike = || {
            let mut alike = map.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
            alike.next().map(|(_, value)| value)
        };
        at = map
            .get(name)
            .or_else(alike)
            .ok_or_else(|| Problem::Here(format!("there is no field {name}")))?;
    }
    Ok(Val::Data(at.clone()))
}
