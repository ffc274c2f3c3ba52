//! JSON and YAML text as one tree whose keys and values know their position.

use crate::{MAX_DEPTH, MAX_NODES, Problem};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Number, Value};
use std::collections::{HashMap, HashSet};

/// A place in the text, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    pub const START: Self = Self { line: 1, column: 1 };

    pub fn problem(self, path: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem {
            line: self.line,
            column: self.column,
            message: message.into(),
            path: path.into(),
        }
    }
}

/// A value with its position.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub at: Position,
    pub data: Data,
}

/// A member of an object.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub key: String,
    pub at: Position,
    pub node: Node,
}

#[derive(Clone, Debug)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Member>),
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.members()
            .iter()
            .find(|member| member.key == key)
            .map(|member| &member.node)
    }

    /// The members of an object; none of anything else.
    pub fn members(&self) -> &[Member] {
        match &self.data {
            Data::Object(members) => members,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Self] {
        match &self.data {
            Data::List(items) => items,
            _ => &[],
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn is_true(&self) -> bool {
        matches!(self.data, Data::Bool(true))
    }

    pub const fn is_object(&self) -> bool {
        matches!(self.data, Data::Object(_))
    }

    /// What the value is, for messages.
    pub const fn noun(&self) -> &'static str {
        match self.data {
            Data::Null => "null",
            Data::Bool(_) => "a boolean",
            Data::Number(_) => "a number",
            Data::Text(_) => "a string",
            Data::List(_) => "a list",
            Data::Object(_) => "an object",
        }
    }

    /// A scalar as people write it: without quotes. Documents hold `version: 1.0` and `default: 10`.
    pub fn printed(&self) -> Option<String> {
        match &self.data {
            Data::Bool(value) => Some(value.to_string()),
            Data::Number(number) => Some(number.to_string()),
            Data::Text(text) => Some(text.clone()),
            Data::Null | Data::List(_) | Data::Object(_) => None,
        }
    }

    pub fn value(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(number) => Value::Number(number.clone()),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(items) => items.iter().map(Self::value).collect(),
            Data::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|member| (member.key.clone(), member.node.value()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }
}

type Parsed<T> = Result<T, Vec<Problem>>;

/// JSON where the text looks like it, YAML otherwise; YAML may also begin with a brace.
pub(crate) fn any(text: &str) -> Parsed<Node> {
    if !text.trim_start().starts_with('{') {
        return yaml(text);
    }
    json(text).or_else(|problems| yaml(text).map_err(|_| problems))
}

fn too_deep(at: Position) -> Vec<Problem> {
    vec![at.problem(
        "",
        format!("The document is nested deeper than {MAX_DEPTH} levels."),
    )]
}

fn too_many(at: Position) -> Vec<Problem> {
    vec![at.problem(
        "",
        format!("The document has more than {MAX_NODES} values."),
    )]
}

/// JSON allows it, and Postgres stores it in no text.
fn nul(at: Position) -> Vec<Problem> {
    vec![at.problem("", "This text holds the character U+0000.")]
}

fn twice(at: Position, key: &str) -> Vec<Problem> {
    vec![at.problem("", format!("The key '{key}' is given twice."))]
}

/// Parses JSON.
///
/// serde_json judges the syntax first; the walk after it only finds the positions, which serde_json does not tell.
pub(crate) fn json(text: &str) -> Parsed<Node> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| {
        let at = Position {
            line: error.line().max(1),
            column: error.column().max(1),
        };
        let message = error.to_string();
        let message = message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(what, _)| what);
        vec![at.problem("", format!("This is not JSON: {message}."))]
    })?;
    let mut walk = Json {
        text,
        next: 0,
        at: Position::START,
        nodes: 0,
    };
    walk.node(0)
}

struct Json<'a> {
    text: &'a str,
    /// Offset of the next byte.
    next: usize,
    /// Position of that byte.
    at: Position,
    nodes: usize,
}

impl<'a> Json<'a> {
    fn advance(&mut self, bytes: usize) {
        let taken = &self.text.as_bytes()[self.next..self.next + bytes];
        for byte in taken {
            if *byte == b'\n' {
                self.at.line += 1;
                self.at.column = 1;
            } else if byte & 0xC0 != 0x80 {
                self.at.column += 1;
            }
        }
        self.next += bytes;
    }

    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.next..];
        let blank = rest
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        self.advance(blank);
        self.text.as_bytes().get(self.next).copied()
    }

    /// Takes a token of so many bytes.
    fn token(&mut self, length: usize) -> &'a str {
        let token = self
            .text
            .get(self.next..self.next + length)
            .unwrap_or_default();
        self.advance(token.len());
        token
    }

    fn string(&mut self) -> Parsed<String> {
        let at = self.at;
        let mut escaped = false;
        let length = self.text.as_bytes()[self.next + 1..]
            .iter()
            .position(|byte| {
                let end = *byte == b'"' && !escaped;
                escaped = *byte == b'\\' && !escaped;
                end
            })
            .map_or(0, |end| end + 2);
        let token = self.token(length);
        let text: String = serde_json::from_str(token)
            .map_err(|_| vec![at.problem("", "This string holds an escape that means nothing.")])?;
        if text.contains('\0') {
            return Err(nul(at));
        }
        Ok(text)
    }

    fn node(&mut self, depth: usize) -> Parsed<Node> {
        let first = self.peek();
        let at = self.at;
        if depth > MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(too_many(at));
        }
        let data = match first {
            Some(b'{') => {
                self.advance(1);
                let mut members = Vec::new();
                let mut seen = HashSet::new();
                while self.peek().is_some_and(|byte| byte != b'}') {
                    let at = self.at;
                    let key = self.string()?;
                    if !seen.insert(key.clone()) {
                        return Err(twice(at, &key));
                    }
                    self.peek();
                    self.advance(1);
                    let node = self.node(depth + 1)?;
                    members.push(Member { key, at, node });
                    if self.peek() == Some(b',') {
                        self.advance(1);
                    }
                }
                self.advance(1);
                Data::Object(members)
            }
            Some(b'[') => {
                self.advance(1);
                let mut items = Vec::new();
                while self.peek().is_some_and(|byte| byte != b']') {
                    items.push(self.node(depth + 1)?);
                    if self.peek() == Some(b',') {
                        self.advance(1);
                    }
                }
                self.advance(1);
                Data::List(items)
            }
            Some(b'"') => Data::Text(self.string()?),
            _ => {
                let length = self.text.as_bytes()[self.next..]
                    .iter()
                    .position(|byte| byte.is_ascii_whitespace() || b",]}".contains(byte))
                    .unwrap_or(self.text.len() - self.next);
                match self.token(length) {
                    "null" => Data::Null,
                    "true" => Data::Bool(true),
                    "false" => Data::Bool(false),
                    number => Data::Number(serde_json::from_str(number).map_err(|_| {
                        vec![at.problem("", format!("The number {number} is out of range."))]
                    })?),
                }
            }
        };
        Ok(Node { at, data })
    }
}

/// Parses YAML 1.2 with the core schema, and with merge keys (`<<`), which 1.2 dropped and people use.
fn yaml(text: &str) -> Parsed<Node> {
    let mut walk = Yaml {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
        at: Position::START,
    };
    loop {
        match walk.event()? {
            (Event::StreamEnd, at) => return Err(vec![at.problem("", "The document is empty.")]),
            (Event::Nothing | Event::StreamStart | Event::DocumentStart(_), _) => {}
            (event, at) => {
                let node = walk.node(event, at, 0)?;
                // What follows the first document must at least be YAML, or a syntax error would pass.
                loop {
                    match walk.event()? {
                        (Event::StreamEnd, _) => return Ok(node),
                        (Event::DocumentStart(_), at) => {
                            return Err(vec![at.problem(
                                "",
                                "A second YAML document begins here; only one is read.",
                            )]);
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

struct Yaml<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    /// Anchored values and how many values each holds.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    at: Position,
}

impl<'a> Yaml<'a> {
    fn event(&mut self) -> Parsed<(Event<'a>, Position)> {
        let place = |span: Span| Position {
            line: span.start.line().max(1),
            column: span.start.col() + 1,
        };
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                self.at = place(span);
                Ok((event, self.at))
            }
            Some(Err(error)) => {
                let at = Position {
                    line: error.marker().line().max(1),
                    column: error.marker().col() + 1,
                };
                Err(vec![at.problem(
                    "",
                    format!("This is not YAML: {}.", error.info()),
                )])
            }
            None => Ok((Event::StreamEnd, self.at)),
        }
    }

    fn node(&mut self, event: Event<'a>, at: Position, depth: usize) -> Parsed<Node> {
        if depth > MAX_DEPTH {
            return Err(too_deep(at));
        }
        let before = self.nodes;
        self.nodes += 1;
        let (data, anchor) = match event {
            Event::Alias(id) => {
                let Some((node, count)) = self.anchors.get(&id) else {
                    return Err(vec![at.problem(
                        "",
                        "This alias stands inside the value that it repeats.",
                    )]);
                };
                self.nodes += count;
                if self.nodes > MAX_NODES {
                    return Err(too_many(at));
                }
                if depth + height(node) > MAX_DEPTH {
                    return Err(too_deep(at));
                }
                return Ok(Node {
                    at,
                    data: node.data.clone(),
                });
            }
            Event::Scalar(text, ..) if text.contains('\0') => return Err(nul(at)),
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = style != ScalarStyle::Plain
                    || tag
                        .as_deref()
                        .is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let data = if is_text {
                    Data::Text(text.into_owned())
                } else {
                    plain(&text)
                };
                (data, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.event()? {
                        (Event::SequenceEnd, _) => break,
                        (event, at) => items.push(self.node(event, at, depth + 1)?),
                    }
                }
                (Data::List(items), anchor)
            }
            Event::MappingStart(anchor, _) => (self.mapping(depth)?, anchor),
            _ => return Err(vec![at.problem("", "A value is missing here.")]),
        };
        if self.nodes > MAX_NODES {
            return Err(too_many(at));
        }
        let node = Node { at, data };
        if anchor != 0 {
            self.anchors
                .insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn mapping(&mut self, depth: usize) -> Parsed<Data> {
        let mut members: Vec<Member> = Vec::new();
        let mut seen = HashSet::new();
        let mut merged = Vec::new();
        loop {
            let (key, at) = match self.event()? {
                (Event::MappingEnd, _) => break,
                // As written, so that `200:` is the key "200" and `on:` the key "on".
                (Event::Scalar(key, ..), at) if key.contains('\0') => return Err(nul(at)),
                (Event::Scalar(key, ..), at) => (key.into_owned(), at),
                (_, at) => return Err(vec![at.problem("", "A key must be a plain text.")]),
            };
            let (event, value_at) = self.event()?;
            let node = self.node(event, value_at, depth + 1)?;
            if key == "<<" {
                merged.push(node);
            } else if seen.insert(key.clone()) {
                members.push(Member { key, at, node });
            } else {
                return Err(twice(at, &key));
            }
        }
        for node in merged {
            let sources = match node.data {
                Data::Object(_) => vec![node],
                Data::List(items) => items,
                _ => {
                    return Err(vec![
                        node.at
                            .problem("", "The merge key '<<' needs an alias of an object."),
                    ]);
                }
            };
            for source in sources {
                if let Data::Object(given) = source.data {
                    members.extend(
                        given
                            .into_iter()
                            .filter(|member| seen.insert(member.key.clone())),
                    );
                }
            }
        }
        Ok(Data::Object(members))
    }
}

fn height(node: &Node) -> usize {
    let children: Vec<&Node> = match &node.data {
        Data::List(items) => items.iter().collect(),
        Data::Object(members) => members.iter().map(|member| &member.node).collect(),
        _ => return 0,
    };
    1 + children.into_iter().map(height).max().unwrap_or(0)
}

/// A plain scalar of the core schema.
fn plain(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "true" | "True" | "TRUE" => return Data::Bool(true),
        "false" | "False" | "FALSE" => return Data::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Data::Text(text.to_owned());
    }
    if let Ok(number) = text.trim_start_matches('+').parse::<i64>() {
        return Data::Number(number.into());
    }
    if let Ok(number) = digits.parse::<u64>()
        && !text.starts_with('-')
    {
        return Data::Number(number.into());
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(number) = digits
            .strip_prefix(prefix)
            .and_then(|number| u64::from_str_radix(number, radix).ok())
            && digits == text
        {
            return Data::Number(number.into());
        }
    }
    // Rust also reads `1_0`-free floats only, but `infinity` and `nan` never begin with a digit.
    text.parse::<f64>()
        .ok()
        .and_then(Number::from_f64)
        .map_or_else(|| Data::Text(text.to_owned()), Data::Number)
}
