//! Runs programs.

use std::sync::Arc;

use chrono::{
    DateTime, Datelike, Months, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc,
};

use super::context::{Context, Map};
use super::data::{Data, Json, Property, Shared, guid_text};
use super::member::Op;
use super::program::{Bin, Code, New, Node};
use super::{Failure, Limits, Type};

pub(super) enum Stop {
    /// A failure; `true` when `catch` may not see it.
    Fail(Failure, bool),
    Return(Data),
    Break,
    Continue,
}

type Eval<T> = Result<T, Stop>;

pub(super) struct Machine<'c> {
    pub(super) context: &'c dyn Context,
    pub(super) fuel: u64,
    pub(super) memory: usize,
    pub(super) locals: Vec<Data>,
    pub(super) at: usize,
}

/// Compiles a .NET pattern as far as the linear-time engine has it: no look-around and no back-references.
pub(super) fn regex_of(pattern: &str, options: &str) -> Result<Arc<regex::Regex>, String> {
    // .NET writes named groups `(?<name>`, which the engine has too.
    regex::RegexBuilder::new(pattern)
        .case_insensitive(options.contains("IgnoreCase"))
        .multi_line(options.contains("Multiline"))
        .dot_matches_new_line(options.contains("Singleline"))
        .ignore_whitespace(options.contains("IgnorePatternWhitespace"))
        .size_limit(1 << 20)
        .build()
        .map(Arc::new)
        .map_err(|error| {
            format!(
                "The regular expression is not supported: {}",
                error.to_string().replace('\n', " ")
            )
        })
}

pub(super) fn run(
    body: &[Node],
    slots: usize,
    context: &dyn Context,
    limits: Limits,
) -> Result<Data, Failure> {
    let mut machine = Machine {
        context,
        fuel: limits.fuel,
        memory: limits.memory_bytes,
        locals: vec![Data::Null; slots],
        at: 0,
    };
    match machine.block(body) {
        Ok(value) => Ok(value),
        Err(Stop::Return(value)) => Ok(value),
        Err(Stop::Fail(failure, _)) => Err(failure),
        Err(Stop::Break | Stop::Continue) => Ok(Data::Null),
    }
}

impl Machine<'_> {
    fn fail<T>(&self, message: impl Into<String>) -> Eval<T> {
        Err(Stop::Fail(
            Failure {
                at: self.at,
                message: message.into(),
            },
            false,
        ))
    }

    fn burn(&mut self, fuel: usize) -> Eval<()> {
        match self.fuel.checked_sub(fuel as u64) {
            Some(rest) => {
                self.fuel = rest;
                Ok(())
            }
            None => Err(Stop::Fail(
                Failure {
                    at: self.at,
                    message: "The expression took too many steps.".to_owned(),
                },
                true,
            )),
        }
    }

    fn charge(&mut self, bytes: usize) -> Eval<()> {
        match self.memory.checked_sub(bytes) {
            Some(rest) => self.memory = rest,
            None => {
                let message = "The expression used too much memory.".to_owned();
                return Err(Stop::Fail(
                    Failure {
                        at: self.at,
                        message,
                    },
                    true,
                ));
            }
        }
        // Copying takes time too: one step for each 256 bytes.
        self.burn(bytes / 256)
    }

    fn text(&mut self, text: impl Into<Arc<str>>) -> Eval<Data> {
        let text = text.into();
        self.charge(text.len() + 16)?;
        Ok(Data::String(text))
    }

    fn list(&mut self, items: Vec<Data>) -> Eval<Data> {
        self.charge(items.len() * 32 + 32)?;
        Ok(Data::List(Shared::new(items)))
    }

    pub(super) fn block(&mut self, nodes: &[Node]) -> Eval<Data> {
        let mut last = Data::Null;
        for node in nodes {
            last = self.eval(node)?;
        }
        Ok(last)
    }

    fn truth(&mut self, node: &Node) -> Eval<bool> {
        match self.eval(node)? {
            Data::Bool(value) => Ok(value),
            _ => self.fail("Nullable object must have a value."),
        }
    }

    pub(super) fn eval(&mut self, node: &Node) -> Eval<Data> {
        self.burn(1)?;
        match &node.code {
            Code::Const(data) => Ok(data.clone()),
            Code::Local(slot) => Ok(self.locals[*slot].clone()),
            Code::SetLocal(slot, value) => {
                let value = self.eval(value)?;
                self.locals[*slot] = value.clone();
                Ok(value)
            }
            Code::Member(op, receiver, arguments, ty) => {
                let receiver = match receiver {
                    Some(receiver) => self.eval(receiver)?,
                    None => Data::Null,
                };
                self.at = node.at;
                self.member(*op, receiver, arguments, ty, node)
            }
            Code::Not(operand) => Ok(Data::Bool(!self.truth(operand)?)),
            Code::Ternary(condition, then, otherwise) => {
                if self.truth(condition)? {
                    self.eval(then)
                } else {
                    self.eval(otherwise)
                }
            }
            Code::Binary(Bin::And, left, right) => {
                Ok(Data::Bool(self.truth(left)? && self.truth(right)?))
            }
            Code::Binary(Bin::Or, left, right) => {
                Ok(Data::Bool(self.truth(left)? || self.truth(right)?))
            }
            Code::Binary(Bin::Coalesce, left, right) => match self.eval(left)? {
                Data::Null => self.eval(right),
                value => Ok(value),
            },
            Code::Binary(bin, left, right) => {
                let left = self.eval(left)?;
                let right = self.eval(right)?;
                self.at = node.at;
                self.binary(*bin, left, right)
            }
            Code::Conditional(slot, receiver, rest) => match self.eval(receiver)? {
                Data::Null => Ok(Data::Null),
                value => {
                    self.locals[*slot] = value;
                    self.eval(rest)
                }
            },
            Code::Index(object, index) => {
                let object = self.eval(object)?;
                let index = self.eval(index)?;
                self.at = node.at;
                self.index(&object, &index)
            }
            Code::Return(value) => Err(Stop::Return(self.eval(value)?)),
            Code::Break => Err(Stop::Break),
            Code::Continue => Err(Stop::Continue),
            Code::Seq(nodes) => {
                self.block(nodes)?;
                Ok(Data::Null)
            }
            Code::Body(nodes) => match self.block(nodes) {
                Ok(value) | Err(Stop::Return(value)) => Ok(value),
                Err(stop) => Err(stop),
            },
            Code::If(condition, then, otherwise) => {
                let branch = if self.truth(condition)? {
                    then
                } else {
                    otherwise
                };
                self.block(branch)?;
                Ok(Data::Null)
            }
            Code::Lambda(..) => self.fail("A lambda is not a value."),
            _ => self.rare(node),
        }
    }

    #[inline(never)]
    fn rare(&mut self, node: &Node) -> Eval<Data> {
        match &node.code {
            Code::SetIndex(object, index, value) => {
                let object = self.eval(object)?;
                let index = self.eval(index)?;
                let value = self.eval(value)?;
                self.at = node.at;
                self.set_index(&object, &index, value.clone())?;
                Ok(value)
            }
            Code::SetProperty(property, value) => {
                let property = self.eval(property)?;
                let value = self.eval(value)?;
                self.at = node.at;
                let Data::Property(property) = property else {
                    return self.null();
                };
                let json = self.json_of(&value)?;
                if let Some(owner) = &property.owner {
                    self.put(owner, property.name.clone(), json, true)?;
                }
                Ok(value)
            }
            Code::Interpolated(parts) => {
                let mut out = String::new();
                for (part, format) in parts {
                    let value = self.eval(part)?;
                    self.at = part.at;
                    match format {
                        Some(format) => out.push_str(&self.formatted(&value, format)?),
                        None => out.push_str(&value.to_text()),
                    }
                    self.charge(out.len() / 8)?;
                }
                self.text(out)
            }
            Code::Negate(operand) => match self.eval(operand)? {
                Data::Int(value) => self.int(value.checked_neg()),
                Data::Double(value) => Ok(Data::Double(-value)),
                Data::TimeSpan(span) => Ok(Data::TimeSpan(-span)),
                _ => self.null(),
            },
            Code::Cast(ty, operand) => {
                let value = self.eval(operand)?;
                self.at = node.at;
                self.cast(value, ty)
            }
            Code::Is(ty, operand) => {
                let value = self.eval(operand)?;
                Ok(Data::Bool(is(&value, ty)))
            }
            Code::As(ty, operand) => {
                let value = self.eval(operand)?;
                Ok(if is(&value, ty) { value } else { Data::Null })
            }
            Code::New(kind, arguments, entries) => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(self.eval(argument)?);
                }
                self.at = node.at;
                let object = self.create(*kind, &values)?;
                for (key, value) in entries {
                    let key = key.as_ref().map(|key| self.eval(key)).transpose()?;
                    let value = self.eval(value)?;
                    self.at = node.at;
                    match key {
                        Some(key) => self.set_index(&object, &key, value)?,
                        None => self.add(&object, value)?,
                    }
                }
                Ok(object)
            }
            Code::Array(items) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.push(self.eval(item)?);
                }
                self.list(values)
            }
            Code::SizedArray(ty, size) => match self.eval(size)? {
                Data::Int(size) => {
                    let size = usize::try_from(size)
                        .or_else(|_| self.fail("The size of an array is negative."))?;
                    self.charge(size.saturating_mul(32))?;
                    self.list(vec![default_of(ty); size])
                }
                _ => self.null(),
            },
            Code::Default(ty) => Ok(default_of(ty)),
            Code::Loop(condition, steps, body) => {
                loop {
                    self.burn(1)?;
                    if let Some(condition) = condition
                        && !self.truth(condition)?
                    {
                        break;
                    }
                    match self.block(body) {
                        Ok(_) | Err(Stop::Continue) => {}
                        Err(Stop::Break) => break,
                        Err(stop) => return Err(stop),
                    }
                    self.block(steps)?;
                }
                Ok(Data::Null)
            }
            Code::Foreach(slot, items, body) => {
                let items = self.eval(items)?;
                self.at = node.at;
                for item in self.items(&items)? {
                    self.burn(1)?;
                    self.locals[*slot] = item;
                    match self.block(body) {
                        Ok(_) | Err(Stop::Continue) => {}
                        Err(Stop::Break) => break,
                        Err(stop) => return Err(stop),
                    }
                }
                Ok(Data::Null)
            }
            Code::Throw(message) => {
                let message = self.eval(message)?.to_text();
                self.at = node.at;
                self.fail(message)
            }
            Code::Try(body, catch, finally) => {
                let mut result = self.block(body);
                if let (Err(Stop::Fail(failure, false)), Some((slot, statements))) =
                    (&result, catch)
                {
                    if let Some(slot) = slot {
                        self.locals[*slot] = Data::from(failure.message.as_str());
                    }
                    result = self.block(statements);
                }
                self.block(finally)?;
                result.map(|_| Data::Null)
            }
            _ => self.fail("Unknown instruction."),
        }
    }

    fn null<T>(&self) -> Eval<T> {
        self.fail("Object reference not set to an instance of an object.")
    }

    fn int(&self, value: Option<i64>) -> Eval<Data> {
        match value {
            Some(value) => Ok(Data::Int(value)),
            None => self.fail("Arithmetic operation resulted in an overflow."),
        }
    }

    fn binary(&mut self, bin: Bin, left: Data, right: Data) -> Eval<Data> {
        use Data::{Char, DateTime as Time, Double, Int, TimeSpan as Span};
        match bin {
            Bin::Equal => return Ok(Data::Bool(equal(&left, &right))),
            Bin::NotEqual => return Ok(Data::Bool(!equal(&left, &right))),
            Bin::Concat => {
                let text = left.to_text() + &right.to_text();
                return self.text(text);
            }
            Bin::Flags => return self.text(format!("{}|{}", left.to_text(), right.to_text())),
            _ => {}
        }
        match (left, right) {
            (Time(a), Span(b)) => match if bin == Bin::Add {
                a.checked_add_signed(b)
            } else {
                a.checked_sub_signed(b)
            } {
                Some(time) => Ok(Time(time)),
                None => self.fail("The time is out of range."),
            },
            (Time(a), Time(b)) if bin == Bin::Subtract => Ok(Span(a - b)),
            (Time(a), Time(b)) => Ok(Data::Bool(ordered(bin, a.cmp(&b)))),
            (Span(a), Span(b)) => match bin {
                Bin::Add | Bin::Subtract => match if bin == Bin::Add {
                    a.checked_add(&b)
                } else {
                    a.checked_sub(&b)
                } {
                    Some(span) => Ok(Span(span)),
                    None => self.fail("The time span is out of range."),
                },
                _ => Ok(Data::Bool(ordered(bin, a.cmp(&b)))),
            },
            (Int(a), Int(b)) => self.integers(bin, a, b),
            (Char(a), Char(b)) => {
                self.integers(bin, i64::from(u32::from(a)), i64::from(u32::from(b)))
            }
            (Char(a), Int(b)) => self.integers(bin, i64::from(u32::from(a)), b),
            (Int(a), Char(b)) => self.integers(bin, a, i64::from(u32::from(b))),
            (a, b) => {
                let (Some(a), Some(b)) = (number(&a), number(&b)) else {
                    // Comparisons with a null of a nullable type are false in C#.
                    return match bin {
                        Bin::Less | Bin::Greater | Bin::LessOrEqual | Bin::GreaterOrEqual => {
                            Ok(Data::Bool(false))
                        }
                        _ => self.null(),
                    };
                };
                Ok(match bin {
                    Bin::Add => Double(a + b),
                    Bin::Subtract => Double(a - b),
                    Bin::Multiply => Double(a * b),
                    Bin::Divide => Double(a / b),
                    Bin::Remainder => Double(a % b),
                    _ => Data::Bool(a.partial_cmp(&b).is_some_and(|order| ordered(bin, order))),
                })
            }
        }
    }

    fn integers(&mut self, bin: Bin, a: i64, b: i64) -> Eval<Data> {
        match bin {
            Bin::Add => self.int(a.checked_add(b)),
            Bin::Subtract => self.int(a.checked_sub(b)),
            Bin::Multiply => self.int(a.checked_mul(b)),
            Bin::Divide | Bin::Remainder if b == 0 => self.fail("Attempted to divide by zero."),
            Bin::Divide => self.int(a.checked_div(b)),
            Bin::Remainder => self.int(a.checked_rem(b)),
            Bin::BitAnd => Ok(Data::Int(a & b)),
            Bin::BitOr => Ok(Data::Int(a | b)),
            Bin::BitXor => Ok(Data::Int(a ^ b)),
            _ => Ok(Data::Bool(ordered(bin, a.cmp(&b)))),
        }
    }

    fn listed(&mut self, values: &[String]) -> Eval<Data> {
        let items = values
            .iter()
            .map(|value| Data::from(value.as_str()))
            .collect();
        self.list(items)
    }

    pub(super) fn items(&mut self, data: &Data) -> Eval<Vec<Data>> {
        let items = match data {
            Data::List(items) => items.lock().clone(),
            Data::Json(Json::Array(items)) => {
                items.lock().iter().cloned().map(Data::Json).collect()
            }
            Data::Json(Json::Object(members)) => members
                .lock()
                .iter()
                .map(|(name, value)| {
                    Data::Pair(Arc::new((name.clone(), Data::Json(value.clone()))))
                })
                .collect(),
            Data::Json(Json::Scalar(_)) => Vec::new(),
            Data::Dictionary(entries) => entries
                .lock()
                .iter()
                .cloned()
                .map(|entry| Data::Pair(Arc::new(entry)))
                .collect(),
            Data::String(text) => text.chars().map(Data::Char).collect(),
            Data::Map(map) => {
                let single = *map == Map::MatchedParameters;
                let entries = self.context.entries(*map);
                let mut items = Vec::with_capacity(entries.len());
                for (name, values) in entries {
                    let value = if single {
                        Data::from(values.join(","))
                    } else {
                        self.listed(&values)?
                    };
                    items.push(Data::Pair(Arc::new((name.into(), value))));
                }
                items
            }
            Data::ResponseHeaders(response) => {
                let mut items = Vec::new();
                for (name, values) in &response.headers {
                    let value = self.listed(values)?;
                    items.push(Data::Pair(Arc::new((name.as_str().into(), value))));
                }
                items
            }
            _ => return self.null(),
        };
        self.charge(items.len() * 32)?;
        Ok(items)
    }

    fn map_entry(&self, map: &Data, name: &str) -> Option<Vec<String>> {
        match map {
            Data::Map(map) => self.context.entry(*map, name),
            Data::ResponseHeaders(response) => response
                .headers
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, values)| values.clone()),
            _ => None,
        }
    }

    fn index(&mut self, object: &Data, index: &Data) -> Eval<Data> {
        let missing = |machine: &Self, name: &str| {
            machine.fail(format!(
                "The given key was not present in the dictionary: {name}."
            ))
        };
        match (object, index) {
            (Data::Variables, Data::String(name)) => match self.context.variable(name) {
                Some(value) => Ok(value),
                None => missing(self, name),
            },
            (Data::Map(map), Data::String(name)) => match self.context.entry(*map, name) {
                Some(values) if *map == Map::MatchedParameters => self.text(values.join(",")),
                Some(values) => self.listed(&values),
                None => missing(self, name),
            },
            (Data::ResponseHeaders(_), Data::String(name)) => match self.map_entry(object, name) {
                Some(values) => self.listed(&values),
                None => missing(self, name),
            },
            (Data::Dictionary(entries), Data::String(name)) => {
                let found = entries
                    .lock()
                    .iter()
                    .find(|(known, _)| known == name)
                    .map(|(_, value)| value.clone());
                match found {
                    Some(value) => Ok(value),
                    None => missing(self, name),
                }
            }
            (Data::Json(Json::Object(members)), Data::String(name)) => {
                let found = members
                    .lock()
                    .iter()
                    .find(|(known, _)| known == name)
                    .map(|(_, value)| Data::Json(value.clone()));
                Ok(found.unwrap_or(Data::Null))
            }
            (Data::Json(Json::Array(items)), Data::Int(at)) => {
                let found = usize::try_from(*at)
                    .ok()
                    .and_then(|at| items.lock().get(at).cloned());
                found
                    .map(Data::Json)
                    .map_or_else(|| self.fail("Index was out of range."), Ok)
            }
            (Data::List(items), Data::Int(at)) => {
                let found = usize::try_from(*at)
                    .ok()
                    .and_then(|at| items.lock().get(at).cloned());
                found.map_or_else(|| self.fail("Index was out of range."), Ok)
            }
            // Of a group that there is not .NET gives one that failed.
            (Data::List(items), Data::String(name)) => {
                let found = items.lock().iter().find_map(|item| match item {
                    Data::Match(group) => group
                        .first()
                        .filter(|group| group.name.as_deref() == Some(&**name))
                        .map(|_| item.clone()),
                    _ => None,
                });
                Ok(found.unwrap_or_else(|| Data::Match(Arc::default())))
            }
            (Data::String(text), Data::Int(at)) => {
                let found = usize::try_from(*at)
                    .ok()
                    .and_then(|at| text.chars().nth(at));
                found.map(Data::Char).map_or_else(
                    || self.fail("Index was outside the bounds of the text."),
                    Ok,
                )
            }
            (Data::Bytes(bytes), Data::Int(at)) => {
                let found = usize::try_from(*at)
                    .ok()
                    .and_then(|at| bytes.get(at).copied());
                found
                    .map(|byte| Data::Int(i64::from(byte)))
                    .map_or_else(|| self.fail("Index was out of range."), Ok)
            }
            (Data::Null, _) => self.null(),
            _ => self.fail("Cannot access a child value on this value."),
        }
    }

    fn put(
        &mut self,
        members: &Shared<Vec<(Arc<str>, Json)>>,
        name: Arc<str>,
        value: Json,
        replace: bool,
    ) -> Eval<()> {
        self.charge(name.len() + 64)?;
        let mut members = members.lock();
        match members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) if replace => *old = value,
            Some(_) => {
                drop(members);
                return self.fail(format!("Can not add property {name}: it exists already."));
            }
            None => members.push((name, value)),
        }
        Ok(())
    }

    fn set_index(&mut self, object: &Data, index: &Data, value: Data) -> Eval<()> {
        match (object, index) {
            (Data::Json(Json::Object(members)), Data::String(name)) => {
                let json = self.attached(&value, object)?;
                self.put(members, name.clone(), json, true)
            }
            (Data::Json(Json::Array(items)), Data::Int(at)) => {
                let json = self.attached(&value, object)?;
                let mut items = items.lock();
                match usize::try_from(*at).ok().and_then(|at| items.get_mut(at)) {
                    Some(slot) => {
                        *slot = json;
                        Ok(())
                    }
                    None => self.fail("Index was out of range."),
                }
            }
            (Data::Dictionary(entries), Data::String(name)) => {
                self.charge(name.len() + 64)?;
                let mut entries = entries.lock();
                match entries.iter_mut().find(|(known, _)| known == name) {
                    Some((_, old)) => *old = value,
                    None => entries.push((name.clone(), value)),
                }
                Ok(())
            }
            (Data::List(items), Data::Int(at)) => match usize::try_from(*at)
                .ok()
                .and_then(|at| items.lock().get_mut(at).map(|slot| *slot = value))
            {
                Some(()) => Ok(()),
                None => self.fail("Index was out of range."),
            },
            _ => self.fail("This value cannot be changed like this."),
        }
    }

    /// A token to put into `target`: a container is copied, so that no token can come to contain itself.
    fn attached(&mut self, value: &Data, target: &Data) -> Eval<Json> {
        let json = self.json_of(value)?;
        match (&json, target) {
            (Json::Scalar(_), _) => Ok(json),
            _ if contains(&json, target) => Ok(Json::from(json.to_value())),
            _ => Ok(json),
        }
    }

    fn add(&mut self, object: &Data, value: Data) -> Eval<()> {
        self.charge(64)?;
        match (object, value) {
            (Data::List(items), value) => {
                items.lock().push(value);
                Ok(())
            }
            (Data::Json(Json::Array(items)), value) => {
                let json = self.attached(&value, object)?;
                items.lock().push(json);
                Ok(())
            }
            (Data::Json(Json::Object(members)), Data::Property(property)) => {
                let json = self.attached(&Data::Json(property.value), object)?;
                self.put(members, property.name, json, false)
            }
            _ => self.fail("This value cannot be added."),
        }
    }

    pub(super) fn json_of(&mut self, value: &Data) -> Eval<Json> {
        let json = match value {
            Data::Null => Json::Scalar(serde_json::Value::Null),
            Data::Bool(value) => Json::Scalar((*value).into()),
            Data::Int(value) => Json::Scalar((*value).into()),
            Data::Double(value) => Json::Scalar((*value).into()),
            Data::Json(json) => json.clone(),
            Data::Property(property) => Json::Object(Shared::new(vec![(
                property.name.clone(),
                property.value.clone(),
            )])),
            Data::DateTime(time) => Json::Scalar(net_time(*time, "o").into()),
            Data::Bytes(bytes) => Json::Scalar(encode_base64(bytes).into()),
            Data::List(_) | Data::Map(_) | Data::Dictionary(_) | Data::ResponseHeaders(_) => {
                let pairs = !matches!(value, Data::List(_));
                let items = self.items(value)?;
                if pairs {
                    let mut members = Vec::new();
                    for item in items {
                        if let Data::Pair(pair) = item {
                            members.push((pair.0.clone(), self.json_of(&pair.1)?));
                        }
                    }
                    Json::Object(Shared::new(members))
                } else {
                    let mut values = Vec::new();
                    for item in items {
                        values.push(self.json_of(&item)?);
                    }
                    Json::Array(Shared::new(values))
                }
            }
            other => Json::Scalar(other.to_text().into()),
        };
        Ok(json)
    }

    fn parse_json(&mut self, text: &str) -> Eval<Data> {
        self.charge(text.len() * 4)?;
        match serde_json::from_str::<serde_json::Value>(text.trim_start_matches('\u{feff}')) {
            Ok(value) => Ok(Data::Json(value.into())),
            Err(error) => self.fail(format!("Error reading JSON: {error}.")),
        }
    }

    fn cast(&mut self, value: Data, ty: &Type) -> Eval<Data> {
        let value = match (value, ty) {
            (value, Type::Object) => return Ok(value),
            (
                Data::Null,
                Type::Bool
                | Type::Int
                | Type::Double
                | Type::Char
                | Type::DateTime
                | Type::TimeSpan
                | Type::Guid,
            ) => {
                return self.null();
            }
            (Data::Null, _) => return Ok(Data::Null),
            (value, _) if is(&value, ty) => return Ok(value),
            (value, _) => value,
        };
        let cast = match (&value, ty) {
            (Data::Json(Json::Scalar(serde_json::Value::Null)), Type::String) => Some(Data::Null),
            (Data::Json(json @ Json::Scalar(_)), Type::String) => Some(Data::from(match json {
                Json::Scalar(serde_json::Value::Bool(value)) => value.to_string(),
                json => json.to_string(),
            })),
            (Data::Json(Json::Scalar(scalar)), Type::Int) => scalar
                .as_i64()
                .or_else(|| scalar.as_f64().map(|value| value.round_ties_even() as i64))
                .or_else(|| scalar.as_str().and_then(|text| text.trim().parse().ok()))
                .map(Data::Int),
            (Data::Json(Json::Scalar(scalar)), Type::Double) => scalar
                .as_f64()
                .or_else(|| scalar.as_str().and_then(|text| text.trim().parse().ok()))
                .map(Data::Double),
            (Data::Json(Json::Scalar(scalar)), Type::Bool) => scalar
                .as_bool()
                .or_else(|| {
                    scalar
                        .as_str()
                        .and_then(|text| text.to_ascii_lowercase().parse().ok())
                })
                .map(Data::Bool),
            (Data::Json(Json::Scalar(scalar)), Type::DateTime) => {
                scalar.as_str().and_then(parse_time).map(Data::DateTime)
            }
            (Data::Json(Json::Scalar(scalar)), Type::Guid) => {
                scalar.as_str().and_then(parse_guid).map(Data::Guid)
            }
            (Data::Double(value), Type::Int) => Some(Data::Int(value.trunc() as i64)),
            (Data::Int(value), Type::Double) => Some(Data::Double(*value as f64)),
            (Data::Char(value), Type::Int) => Some(Data::Int(i64::from(u32::from(*value)))),
            (Data::Int(value), Type::Char) => u32::try_from(*value)
                .ok()
                .and_then(char::from_u32)
                .map(Data::Char),
            (
                Data::String(_)
                | Data::Int(_)
                | Data::Double(_)
                | Data::Bool(_)
                | Data::DateTime(_),
                Type::Token,
            ) => Some(Data::Json(self.json_of(&value)?)),
            (Data::Json(Json::Array(_)), Type::List(item)) => {
                let item = (**item).clone();
                let mut items = Vec::new();
                for value in self.items(&value)? {
                    items.push(self.cast(value, &item)?);
                }
                Some(self.list(items)?)
            }
            (Data::Json(Json::Object(_)), Type::Dictionary(wanted)) => {
                let wanted = (**wanted).clone();
                let mut entries = Vec::new();
                for value in self.items(&value)? {
                    if let Data::Pair(pair) = value {
                        entries.push((pair.0.clone(), self.cast(pair.1.clone(), &wanted)?));
                    }
                }
                Some(Data::Dictionary(Shared::new(entries)))
            }
            _ => None,
        };
        match cast {
            Some(value) => Ok(value),
            None => self.fail("Specified cast is not valid."),
        }
    }

    fn create(&mut self, kind: New, values: &[Data]) -> Eval<Data> {
        self.charge(64)?;
        let ints = || {
            values
                .iter()
                .map(|value| {
                    if let Data::Int(value) = value {
                        *value
                    } else {
                        0
                    }
                })
                .collect::<Vec<_>>()
        };
        Ok(match kind {
            New::JsonObject => {
                let object = Data::Json(Json::Object(Shared::new(Vec::new())));
                for value in values {
                    match value {
                        Data::Property(_) => self.add(&object, value.clone())?,
                        Data::Json(Json::Object(members)) => {
                            let members = members.lock().clone();
                            for (name, value) in members {
                                self.set_index(
                                    &object,
                                    &Data::String(name),
                                    Data::Json(Json::from(value.to_value())),
                                )?;
                            }
                        }
                        other => {
                            for item in self.items(other)? {
                                self.add(&object, item)?;
                            }
                        }
                    }
                }
                object
            }
            New::JsonArray => {
                let array = Data::Json(Json::Array(Shared::new(Vec::new())));
                for value in values {
                    let items = match value {
                        Data::List(_) => self.items(value)?,
                        other => vec![other.clone()],
                    };
                    for item in items {
                        self.add(&array, item)?;
                    }
                }
                array
            }
            New::Property => {
                let value = if values.len() == 2 {
                    self.json_of(&values[1])?
                } else {
                    let rest = Data::list(values[1..].iter().cloned());
                    self.json_of(&rest)?
                };
                Data::Property(Property {
                    owner: None,
                    name: values[0].to_text().into(),
                    value,
                })
            }
            New::Token => Data::Json(self.json_of(&values[0])?),
            New::Builder => Data::Builder(Shared::new(match values.first() {
                Some(Data::String(text)) => text.to_string(),
                _ => String::new(),
            })),
            New::Random => Data::Random(Shared::new(match values.first() {
                Some(Data::Int(seed)) => *seed as u64,
                _ => self.context.random_bits(),
            })),
            New::Regex => match &values[0] {
                Data::Regex(_) => values[0].clone(),
                pattern => Data::Regex(self.regex(pattern, values.get(1))?),
            },
            New::List => {
                let items = match values.first() {
                    Some(Data::Int(_)) | None => Vec::new(),
                    Some(source) => self.items(source)?,
                };
                self.list(items)?
            }
            New::Dictionary => Data::Dictionary(Shared::new(Vec::new())),
            New::DateTime => {
                let part = |at: usize| ints().get(at).copied().unwrap_or(0);
                let unsigned = |at: usize| u32::try_from(part(at)).unwrap_or(u32::MAX);
                let time = i32::try_from(part(0))
                    .ok()
                    .and_then(|year| NaiveDate::from_ymd_opt(year, unsigned(1), unsigned(2)))
                    .and_then(|date| date.and_hms_opt(unsigned(3), unsigned(4), unsigned(5)));
                match time {
                    Some(time) => Data::DateTime(time.and_utc()),
                    None => {
                        return self.fail("The parameters describe an un-representable DateTime.");
                    }
                }
            }
            New::TimeSpan => {
                let parts = ints();
                let (days, rest) = if parts.len() == 4 {
                    (parts[0], &parts[1..])
                } else {
                    (0, &parts[..])
                };
                let seconds = i128::from(days) * 86_400
                    + i128::from(rest[0]) * 3600
                    + i128::from(rest[1]) * 60
                    + i128::from(rest[2]);
                match i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds) {
                    Some(span) => Data::TimeSpan(span),
                    None => return self.fail("The time span is out of range."),
                }
            }
            New::Guid => match parse_guid(&values[0].to_text()) {
                Some(guid) => Data::Guid(guid),
                None => return self.fail("Unrecognized Guid format."),
            },
            New::Repeat => {
                let (Data::Char(c), Data::Int(count)) = (&values[0], &values[1]) else {
                    return self.null();
                };
                let count =
                    usize::try_from(*count).or_else(|_| self.fail("The count is negative."))?;
                self.charge(count.saturating_mul(c.len_utf8()))?;
                self.text(std::iter::repeat_n(*c, count).collect::<String>())?
            }
            New::FromChars => {
                let text: String = self.items(&values[0])?.iter().map(Data::to_text).collect();
                self.text(text)?
            }
        })
    }

    fn regex(&mut self, pattern: &Data, options: Option<&Data>) -> Eval<Arc<regex::Regex>> {
        if let Data::Regex(regex) = pattern {
            return Ok(Arc::clone(regex));
        }
        // Compiling costs far more than a step.
        self.burn(1000)?;
        regex_of(
            &pattern.to_text(),
            &options.map(Data::to_text).unwrap_or_default(),
        )
        .or_else(|message| self.fail(message))
    }

    fn call(&mut self, lambda: &Node, items: &[Data]) -> Eval<Data> {
        self.burn(1)?;
        let Code::Lambda(slots, body) = &lambda.code else {
            return self.fail("A lambda is expected.");
        };
        for (slot, item) in slots.iter().zip(items) {
            self.locals[*slot] = item.clone();
        }
        self.eval(body)
    }

    fn holds(&mut self, lambda: &Node, item: &Data) -> Eval<bool> {
        match self.call(lambda, std::slice::from_ref(item))? {
            Data::Bool(value) => Ok(value),
            _ => self.fail("Nullable object must have a value."),
        }
    }

    fn formatted(&mut self, value: &Data, format: &str) -> Eval<String> {
        Ok(match value {
            Data::DateTime(time) => net_time(*time, format),
            Data::Guid(guid) => match format {
                "N" | "n" => format!("{guid:032x}"),
                "B" | "b" => format!("{{{}}}", guid_text(*guid)),
                "P" | "p" => format!("({})", guid_text(*guid)),
                _ => guid_text(*guid),
            },
            Data::Int(_) | Data::Double(_) => {
                let number = number(value).unwrap_or_default();
                let digits = format
                    .get(1..)
                    .and_then(|digits| digits.parse::<usize>().ok())
                    .filter(|digits| *digits <= 99);
                match (format.chars().next(), value) {
                    (Some('D' | 'd'), Data::Int(value)) => format!(
                        "{}{:0>width$}",
                        if *value < 0 { "-" } else { "" },
                        value.unsigned_abs(),
                        width = digits.unwrap_or(0)
                    ),
                    (Some('X'), Data::Int(value)) => {
                        format!("{value:0>width$X}", width = digits.unwrap_or(0))
                    }
                    (Some('x'), Data::Int(value)) => {
                        format!("{value:0>width$x}", width = digits.unwrap_or(0))
                    }
                    (Some('F' | 'f'), _) => format!("{number:.*}", digits.unwrap_or(2)),
                    (Some('0'), _) if format.bytes().all(|b| b == b'0') => {
                        format!("{number:0>width$.0}", width = format.len())
                    }
                    (Some('0' | '#'), _) if format.contains('.') => {
                        let places = format.len() - format.find('.').unwrap_or(0) - 1;
                        format!("{number:.places$}")
                    }
                    _ => {
                        return self
                            .fail(format!("The number format '{format}' is not supported."));
                    }
                }
            }
            other => other.to_text(),
        })
    }

    /// `string.Format`.
    fn compose(&mut self, template: &str, values: &[Data]) -> Eval<String> {
        let mut out = String::new();
        let mut rest = template;
        while let Some(brace) = rest.find(['{', '}']) {
            out.push_str(&rest[..brace]);
            let c = &rest[brace..=brace];
            if rest[brace + 1..].starts_with(c) {
                out.push_str(c);
                rest = &rest[brace + 2..];
                continue;
            }
            let Some(end) = rest[brace..].find('}').filter(|_| c == "{") else {
                return self.fail("Input string was not in a correct format.");
            };
            let hole = &rest[brace + 1..brace + end];
            let (place, format) = hole
                .split_once(':')
                .map_or((hole, None), |(place, format)| (place, Some(format)));
            let place = place.split(',').next().unwrap_or_default().trim();
            let Some(value) = place.parse::<usize>().ok().and_then(|at| values.get(at)) else {
                return self.fail("Index must refer to an argument of the format.");
            };
            match format {
                Some(format) => out.push_str(&self.formatted(value, format)?),
                None => out.push_str(&value.to_text()),
            }
            self.charge(out.len() / 8 + 16)?;
            rest = &rest[brace + end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn body(&mut self, bytes: Option<Arc<[u8]>>, ty: &Type) -> Eval<Data> {
        let Some(bytes) = bytes else {
            return Ok(Data::Null);
        };
        self.charge(bytes.len())?;
        match ty {
            Type::Bytes => Ok(Data::Bytes(bytes)),
            Type::String | Type::Object => {
                let text = String::from_utf8_lossy(&bytes);
                self.text(text.trim_start_matches('\u{feff}'))
            }
            Type::Token | Type::JsonObject | Type::JsonArray => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let json = self.parse_json(&text)?;
                self.cast(json, ty)
            }
            _ => self.fail("The body cannot be read as this type."),
        }
    }
}

fn contains(json: &Json, target: &Data) -> bool {
    match (json, target) {
        (Json::Object(a), Data::Json(Json::Object(b))) if a.same(b) => true,
        (Json::Array(a), Data::Json(Json::Array(b))) if a.same(b) => true,
        (Json::Object(members), _) => members
            .lock()
            .iter()
            .any(|(_, value)| contains(value, target)),
        (Json::Array(items), _) => items.lock().iter().any(|value| contains(value, target)),
        (Json::Scalar(_), _) => false,
    }
}

fn ordered(bin: Bin, order: std::cmp::Ordering) -> bool {
    match bin {
        Bin::Less => order.is_lt(),
        Bin::Greater => order.is_gt(),
        Bin::LessOrEqual => order.is_le(),
        _ => order.is_ge(),
    }
}

fn number(data: &Data) -> Option<f64> {
    match data {
        Data::Int(value) => Some(*value as f64),
        Data::Double(value) => Some(*value),
        Data::Char(value) => Some(f64::from(u32::from(*value))),
        _ => None,
    }
}

pub(super) fn equal(a: &Data, b: &Data) -> bool {
    match (a, b) {
        (Data::Null | Data::Json(Json::Scalar(serde_json::Value::Null)), Data::Null) => true,
        (Data::Null, Data::Json(Json::Scalar(serde_json::Value::Null))) => true,
        (Data::Bool(a), Data::Bool(b)) => a == b,
        (Data::String(a), Data::String(b)) => a == b,
        (Data::DateTime(a), Data::DateTime(b)) => a == b,
        (Data::TimeSpan(a), Data::TimeSpan(b)) => a == b,
        (Data::Guid(a), Data::Guid(b)) => a == b,
        (Data::Bytes(a), Data::Bytes(b)) => a == b,
        (Data::Json(a), Data::Json(b)) => a.to_value() == b.to_value(),
        (Data::List(a), Data::List(b)) => a.same(b),
        (Data::Dictionary(a), Data::Dictionary(b)) => a.same(b),
        (Data::Part(a), Data::Part(b)) => a == b,
        _ => matches!((number(a), number(b)), (Some(a), Some(b)) if a == b),
    }
}

fn is(data: &Data, ty: &Type) -> bool {
    match (data, ty) {
        (Data::Null, _) => false,
        (_, Type::Object) => true,
        (Data::Bool(_), Type::Bool)
        | (Data::Int(_), Type::Int)
        | (Data::Double(_), Type::Double)
        | (Data::Char(_), Type::Char)
        | (Data::String(_), Type::String)
        | (Data::Bytes(_), Type::Bytes)
        | (Data::DateTime(_), Type::DateTime)
        | (Data::TimeSpan(_), Type::TimeSpan)
        | (Data::Guid(_), Type::Guid)
        | (Data::Json(_), Type::Token)
        | (Data::Json(Json::Object(_)), Type::JsonObject)
        | (Data::Json(Json::Array(_)), Type::JsonArray)
        | (Data::Property(_), Type::Property)
        | (Data::Dictionary(_) | Data::Map(_), Type::Dictionary(_))
        | (Data::Pair(_), Type::Pair(_))
        | (Data::Builder(_), Type::Builder)
        | (Data::Random(_), Type::Random)
        | (Data::Regex(_), Type::Regex)
        | (Data::Match(_), Type::Match)
        | (Data::Jwt(_), Type::Jwt)
        | (Data::Basic(_), Type::Basic)
        | (Data::Response(_), Type::Response)
        | (Data::Group(_), Type::Group) => true,
        (Data::List(items), Type::List(item)) => items
            .lock()
            .iter()
            .all(|value| matches!(value, Data::Null) || is(value, item)),
        _ => false,
    }
}

fn default_of(ty: &Type) -> Data {
    match ty {
        Type::Bool => Data::Bool(false),
        Type::Int => Data::Int(0),
        Type::Double => Data::Double(0.0),
        Type::Guid => Data::Guid(0),
        Type::TimeSpan => Data::TimeSpan(TimeDelta::zero()),
        Type::DateTime => Data::DateTime(NaiveDate::MIN.and_time(chrono::NaiveTime::MIN).and_utc()),
        _ => Data::Null,
    }
}

pub(super) fn parse_guid(text: &str) -> Option<u128> {
    let hex: String = text
        .trim()
        .trim_matches(['{', '}', '(', ')'])
        .chars()
        .filter(|c| *c != '-')
        .collect();
    (hex.len() == 32)
        .then(|| u128::from_str_radix(&hex, 16).ok())
        .flatten()
}

fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(time) =
        DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc2822(text))
    {
        return Some(time.to_utc());
    }
    for format in [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%m/%d/%Y %H:%M:%S",
    ] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Some(time.and_utc());
        }
    }
    ["%Y-%m-%d", "%m/%d/%Y"]
        .iter()
        .find_map(|format| NaiveDate::parse_from_str(text, format).ok())
        .map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc())
}

/// Formats a time as .NET does in the invariant culture.
fn net_time(time: DateTime<Utc>, format: &str) -> String {
    let custom = match format {
        "o" | "O" => "yyyy-MM-ddTHH:mm:ss.fffffffZ",
        "s" => "yyyy-MM-ddTHH:mm:ss",
        "u" => "yyyy-MM-dd HH:mm:ssZ",
        "r" | "R" => "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
        "d" => "MM/dd/yyyy",
        "g" | "" => "MM/dd/yyyy HH:mm",
        "G" => "MM/dd/yyyy HH:mm:ss",
        other => other,
    };
    let mut out = String::new();
    let mut rest = custom;
    while let Some(c) = rest.chars().next() {
        let run = rest.chars().take_while(|other| *other == c).count();
        let mut used = run * c.len_utf8();
        match (c, run) {
            ('y', 4..) => out.push_str(&format!("{:04}", time.year())),
            ('y', _) => out.push_str(&format!("{:02}", time.year().rem_euclid(100))),
            ('M', 1) => out.push_str(&time.month().to_string()),
            ('M', 2) => out.push_str(&format!("{:02}", time.month())),
            ('M', 3) => out.push_str(&time.format("%b").to_string()),
            ('M', _) => out.push_str(&time.format("%B").to_string()),
            ('d', 1) => out.push_str(&time.day().to_string()),
            ('d', 2) => out.push_str(&format!("{:02}", time.day())),
            ('d', 3) => out.push_str(&time.format("%a").to_string()),
            ('d', _) => out.push_str(&time.format("%A").to_string()),
            ('H', 1) => out.push_str(&time.hour().to_string()),
            ('H', _) => out.push_str(&format!("{:02}", time.hour())),
            ('h', 1) => out.push_str(&time.hour12().1.to_string()),
            ('h', _) => out.push_str(&format!("{:02}", time.hour12().1)),
            ('m', 1) => out.push_str(&time.minute().to_string()),
            ('m', _) => out.push_str(&format!("{:02}", time.minute())),
            ('s', 1) => out.push_str(&time.second().to_string()),
            ('s', _) => out.push_str(&format!("{:02}", time.second())),
            ('f' | 'F', _) => {
                let digits = format!("{:09}", time.nanosecond() % 1_000_000_000);
                out.push_str(&digits[..run.min(7)]);
            }
            ('t', _) => out.push_str(if time.hour() < 12 { "AM" } else { "PM" }),
            ('K', _) => out.push('Z'),
            ('z', 1) => out.push_str("+0"),
            ('z', 2) => out.push_str("+00"),
            ('z', _) => out.push_str("+00:00"),
            ('\'' | '"', _) => {
                let inner = &rest[1..];
                let end = inner.find(c).unwrap_or(inner.len());
                out.push_str(&inner[..end]);
                used = (end + 2).min(rest.len());
            }
            ('\\', _) => {
                let escaped = rest[1..].chars().next();
                out.extend(escaped);
                used = 1 + escaped.map_or(0, char::len_utf8);
            }
            _ => out.extend(std::iter::repeat_n(c, run)),
        }
        rest = &rest[used..];
    }
    out
}

fn encode_base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(super) fn unix_time(seconds: i64) -> Option<DateTime<Utc>> {
    Utc.timestamp_opt(seconds, 0).single()
}

pub(super) use time::{add_double, months};

mod time {
    use super::{DateTime, Months, TimeDelta, Utc};

    pub(crate) fn add_double(
        time: DateTime<Utc>,
        amount: f64,
        unit_seconds: f64,
    ) -> Option<DateTime<Utc>> {
        span(amount, unit_seconds).and_then(|span| time.checked_add_signed(span))
    }

    pub(crate) fn span(amount: f64, unit_seconds: f64) -> Option<TimeDelta> {
        let nanos = amount * unit_seconds * 1e9;
        (nanos.is_finite() && nanos.abs() < 9.2e18)
            .then(|| TimeDelta::nanoseconds(nanos.round() as i64))
            .or_else(|| {
                let seconds = amount * unit_seconds;
                (seconds.is_finite() && seconds.abs() < 9.2e15)
                    .then(|| TimeDelta::try_seconds(seconds as i64))
                    .flatten()
            })
    }

    pub(crate) fn months(time: DateTime<Utc>, count: i64) -> Option<DateTime<Utc>> {
        let magnitude = Months::new(u32::try_from(count.unsigned_abs()).ok()?);
        if count < 0 {
            time.checked_sub_months(magnitude)
        } else {
            time.checked_add_months(magnitude)
        }
    }
}
pub(super) use time::span;

mod call;
