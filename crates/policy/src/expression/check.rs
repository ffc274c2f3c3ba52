//! Syntax tree to program: names become slots and members, types are checked.

use super::context::{Part, Side};
use super::data::Data;
use super::eval::regex_of;
use super::member::{MEMBERS, Op};
use super::program::{Bin, Code, New, Node};
use super::syntax::{Body, Expr, Initializer, Kind, Stmt, StmtKind, TypeName};
use super::{CompileError, Type};

type Checked<T> = Result<T, CompileError>;

pub(super) struct Checker {
    scopes: Vec<Vec<(String, usize, Type)>>,
    pub(super) slots: usize,
    /// Types of the enclosing `?.` receivers with their slots.
    receivers: Vec<(usize, Type)>,
    /// Result types of the enclosing bodies, the innermost last.
    returns: Vec<Option<Type>>,
    loops: usize,
    pub(super) request_body: bool,
    pub(super) response_body: bool,
}

fn fail<T>(at: usize, message: impl Into<String>) -> Checked<T> {
    Err(CompileError {
        at,
        message: message.into(),
    })
}

const CLASSES: &[&str] = &[
    "string",
    "int",
    "double",
    "bool",
    "char",
    "DateTime",
    "TimeSpan",
    "Guid",
    "Math",
    "Convert",
    "Encoding",
    "Uri",
    "WebUtility",
    "Regex",
    "JToken",
    "JObject",
    "JArray",
    "JsonConvert",
    "StringComparison",
    "StringSplitOptions",
    "RegexOptions",
    "StringComparer",
    "Formatting",
    "JTokenType",
    "DayOfWeek",
];

const ENUMERATIONS: &[(&str, &[&str])] = &[
    (
        "StringComparison",
        &[
            "Ordinal",
            "OrdinalIgnoreCase",
            "InvariantCulture",
            "InvariantCultureIgnoreCase",
            "CurrentCulture",
            "CurrentCultureIgnoreCase",
        ],
    ),
    (
        "StringComparer",
        &[
            "Ordinal",
            "OrdinalIgnoreCase",
            "InvariantCulture",
            "InvariantCultureIgnoreCase",
        ],
    ),
    ("StringSplitOptions", &["None", "RemoveEmptyEntries"]),
    (
        "RegexOptions",
        &[
            "None",
            "IgnoreCase",
            "Multiline",
            "Singleline",
            "Compiled",
            "IgnorePatternWhitespace",
            "CultureInvariant",
        ],
    ),
    ("Formatting", &["None", "Indented"]),
    (
        "JTokenType",
        &[
            "None", "Object", "Array", "Integer", "Float", "String", "Boolean", "Null",
        ],
    ),
    (
        "DayOfWeek",
        &[
            "Sunday",
            "Monday",
            "Tuesday",
            "Wednesday",
            "Thursday",
            "Friday",
            "Saturday",
        ],
    ),
];

/// Class names with other spellings of the same class.
fn class_name(name: &str) -> Option<&'static str> {
    let name = match name {
        "String" => "string",
        "Int32" | "Int64" | "long" => "int",
        "Double" | "float" | "decimal" | "Decimal" | "Single" => "double",
        "Boolean" => "bool",
        "Char" => "char",
        "DateTimeOffset" => "DateTime",
        "HttpUtility" => "WebUtility",
        other => other,
    };
    CLASSES.iter().find(|class| **class == name).copied()
}

fn item_of(ty: &Type) -> Option<Type> {
    Some(match ty {
        Type::List(item) => (**item).clone(),
        Type::Token | Type::JsonArray => Type::Token,
        Type::JsonObject => Type::Pair(Box::new(Type::Token)),
        Type::Dictionary(value) => Type::Pair(value.clone()),
        Type::Headers => Type::Pair(Box::new(Type::List(Box::new(Type::String)))),
        Type::Variables => Type::Pair(Box::new(Type::Object)),
        Type::String => Type::Char,
        _ => return None,
    })
}

/// Rows of the member table that a type has, the closest first.
fn receivers(ty: &Type) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = match ty {
        Type::String => vec!["string"],
        Type::Int => vec!["int"],
        Type::Double => vec!["double"],
        Type::DateTime => vec!["DateTime"],
        Type::TimeSpan => vec!["TimeSpan"],
        Type::Guid => vec!["Guid"],
        Type::Bytes => vec!["byte[]"],
        Type::Token => vec!["JToken"],
        Type::JsonObject => vec!["JObject", "JToken"],
        Type::JsonArray => vec!["JArray", "JToken"],
        Type::Property => vec!["JProperty"],
        Type::List(_) => vec!["List"],
        Type::Dictionary(_) => vec!["Dictionary"],
        Type::Pair(_) => vec!["KeyValuePair"],
        Type::Builder => vec!["StringBuilder"],
        Type::Random => vec!["Random"],
        Type::Regex => vec!["Regex"],
        Type::Match => vec!["Match"],
        Type::Jwt => vec!["Jwt"],
        Type::Basic => vec!["BasicAuthCredentials"],
        Type::Response => vec!["IResponse"],
        Type::Group => vec!["IGroup"],
        Type::Headers => vec!["headers"],
        Type::Body => vec!["body"],
        Type::Variables => vec!["variables"],
        Type::Encoding => vec!["Encoding"],
        Type::Part(part) => vec![part_name(*part)],
        Type::Object
        | Type::Null
        | Type::Void
        | Type::Bool
        | Type::Char
        | Type::Enumeration(_)
        | Type::Class(_) => Vec::new(),
    };
    if item_of(ty).is_some() {
        names.push("sequence");
    }
    names.push("object");
    names
}

fn part_name(part: Part) -> &'static str {
    match part {
        Part::Context => "context",
        Part::Api => "Api",
        Part::Operation => "Operation",
        Part::Product => "Product",
        Part::Subscription => "Subscription",
        Part::User => "User",
        Part::Request => "Request",
        Part::Url => "Url",
        Part::OriginalUrl => "OriginalUrl",
        Part::Certificate => "Certificate",
        Part::Response => "Response",
        Part::Deployment => "Deployment",
        Part::LastError => "LastError",
    }
}

/// What stands for `T`, `U`, `G`, `A` and `V` in a signature.
struct Bindings {
    item: Option<Type>,
    value: Option<Type>,
    lambda: Option<Type>,
    generic: Option<Type>,
    last: Option<Type>,
}

fn table_type(name: &str, op: Op, bindings: &Bindings) -> Type {
    if let Some(item) = name.strip_suffix("[]").filter(|item| *item != "byte") {
        return Type::List(Box::new(table_type(item, op, bindings)));
    }
    if let Some(value) = name
        .strip_prefix("Dictionary<")
        .and_then(|rest| rest.strip_suffix('>'))
    {
        return Type::Dictionary(Box::new(table_type(value, op, bindings)));
    }
    let or_object = |ty: &Option<Type>| ty.clone().unwrap_or(Type::Object);
    match name {
        "T" => or_object(&bindings.item),
        "U" => or_object(&bindings.lambda),
        "UE" => bindings
            .lambda
            .as_ref()
            .and_then(item_of)
            .unwrap_or(Type::Object),
        "G" => or_object(&bindings.generic),
        "GA" => bindings
            .generic
            .clone()
            .or_else(|| bindings.last.clone())
            .unwrap_or(Type::Object),
        "A" => or_object(&bindings.last),
        "V" => or_object(&bindings.value),
        "bool" => Type::Bool,
        "int" => Type::Int,
        "double" => Type::Double,
        "char" => Type::Char,
        "string" => Type::String,
        "byte[]" => Type::Bytes,
        "DateTime" => Type::DateTime,
        "TimeSpan" => Type::TimeSpan,
        "Guid" => Type::Guid,
        "JToken" => Type::Token,
        "JObject" => Type::JsonObject,
        "JArray" => Type::JsonArray,
        "JProperty" => Type::Property,
        "Jwt" => Type::Jwt,
        "BasicAuthCredentials" => Type::Basic,
        "IGroup" => Type::Group,
        "Match" => Type::Match,
        "StringBuilder" => Type::Builder,
        "void" => Type::Void,
        "headers" => Type::Headers,
        "variables" => Type::Variables,
        "body" | "request body" | "response body" => Type::Body,
        "StringComparison" | "StringComparer" | "StringSplitOptions" | "RegexOptions"
        | "Formatting" => Type::Enumeration(
            ENUMERATIONS
                .iter()
                .find(|(class, _)| *class == name)
                .map_or("", |(class, _)| class),
        ),
        _ => match op {
            Op::Part(part) => Type::Part(part),
            _ => Type::Object,
        },
    }
}

/// Whether a value of type `from` can stand where `to` is wanted.
pub(super) fn fits(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::Void, _) => false,
        (_, Type::Object) => true,
        (a, b) if a == b => true,
        (
            Type::Null,
            Type::Bool
            | Type::Int
            | Type::Double
            | Type::Char
            | Type::DateTime
            | Type::TimeSpan
            | Type::Guid,
        ) => false,
        (Type::Null, _) => true,
        (Type::Int | Type::Char, Type::Double) | (Type::Char, Type::Int) => true,
        (Type::JsonObject | Type::JsonArray, Type::Token) => true,
        // Newtonsoft converts scalars to tokens implicitly.
        (Type::String | Type::Int | Type::Double | Type::Bool | Type::DateTime, Type::Token) => {
            true
        }
        (Type::Class("JToken"), Type::Token) => true,
        (Type::List(a), Type::List(b)) => fits(a, b),
        (Type::JsonArray | Type::Token, Type::List(b)) => fits(&Type::Token, b),
        (Type::String, Type::List(b)) => fits(&Type::Char, b),
        (Type::Dictionary(_) | Type::Headers, Type::List(b)) => **b == Type::Object,
        (Type::Dictionary(a), Type::Dictionary(b)) => fits(a, b),
        _ => false,
    }
}

impl Type {
    fn words(&self) -> String {
        match self {
            Self::Object => "object".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Void => "void".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::Char => "char".to_owned(),
            Self::List(item) => format!("{}[]", item.words()),
            Self::Dictionary(value) => format!("Dictionary<string, {}>", value.words()),
            Self::Pair(value) => format!("KeyValuePair<string, {}>", value.words()),
            Self::Class(name) | Self::Enumeration(name) => (*name).to_owned(),
            other => receivers(other)
                .first()
                .map_or("object", |name| name)
                .to_owned(),
        }
    }
}

impl Checker {
    pub(super) fn new() -> Self {
        Self {
            scopes: vec![Vec::new()],
            slots: 0,
            receivers: Vec::new(),
            returns: vec![None],
            loops: 0,
            request_body: false,
            response_body: false,
        }
    }

    fn slot(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    fn declare(&mut self, at: usize, name: &str, ty: Type) -> Checked<usize> {
        if name == "context"
            || self
                .scopes
                .iter()
                .flatten()
                .any(|(known, _, _)| known == name)
        {
            return fail(
                at,
                format!("A variable named '{name}' is already defined in this scope."),
            );
        }
        let slot = self.slot();
        if let Some(scope) = self.scopes.last_mut() {
            scope.push((name.to_owned(), slot, ty));
        }
        Ok(slot)
    }

    fn named_type(&self, name: &TypeName) -> Checked<Type> {
        let argument = |index: usize| match name.arguments.get(index) {
            Some(argument) => self.named_type(argument),
            None => Ok(Type::Object),
        };
        if name.name == "byte" && name.rank == 1 {
            return Ok(Type::Bytes);
        }
        let mut ty = match name.name.as_str() {
            "string" | "String" => Type::String,
            "int" | "Int32" | "long" | "Int64" | "short" | "byte" | "uint" | "ulong" => Type::Int,
            "double" | "Double" | "float" | "decimal" | "Decimal" => Type::Double,
            "bool" | "Boolean" => Type::Bool,
            "char" | "Char" => Type::Char,
            "object" | "Object" | "dynamic" => Type::Object,
            "DateTime" | "DateTimeOffset" => Type::DateTime,
            "TimeSpan" => Type::TimeSpan,
            "Guid" => Type::Guid,
            "JToken" | "JValue" | "JContainer" => Type::Token,
            "JObject" => Type::JsonObject,
            "JArray" => Type::JsonArray,
            "JProperty" => Type::Property,
            "Jwt" => Type::Jwt,
            "BasicAuthCredentials" => Type::Basic,
            "IResponse" => Type::Response,
            "IGroup" => Type::Group,
            "StringBuilder" => Type::Builder,
            "Regex" => Type::Regex,
            "Match" | "Group" => Type::Match,
            "Random" => Type::Random,
            "List"
            | "IList"
            | "IEnumerable"
            | "ICollection"
            | "IReadOnlyList"
            | "IReadOnlyCollection"
            | "HashSet" => Type::List(Box::new(argument(0)?)),
            "Dictionary" | "IDictionary" | "IReadOnlyDictionary" => {
                if argument(0)? != Type::String {
                    return fail(name.at, "Keys of a dictionary must be of type string.");
                }
                Type::Dictionary(Box::new(argument(1)?))
            }
            "KeyValuePair" => Type::Pair(Box::new(argument(1)?)),
            other => return fail(name.at, format!("The type '{other}' is not supported.")),
        };
        for _ in 0..name.rank {
            ty = Type::List(Box::new(ty));
        }
        Ok(ty)
    }

    pub(super) fn expect(&mut self, expr: &Expr, wanted: &Type) -> Checked<Node> {
        let (node, ty) = self.expr(expr)?;
        if fits(&ty, wanted) {
            Ok(node)
        } else {
            fail(
                expr.at,
                format!(
                    "Cannot convert type '{}' to '{}'.",
                    ty.words(),
                    wanted.words()
                ),
            )
        }
    }

    pub(super) fn expr(&mut self, expr: &Expr) -> Checked<(Node, Type)> {
        let at = expr.at;
        let (code, ty) = match &expr.kind {
            Kind::Literal(data) => (Code::Const(data.clone()), literal_type(data)),
            Kind::Interpolated(parts) => {
                let mut nodes = Vec::new();
                for part in parts {
                    nodes.push(match part {
                        Ok(text) => (Node::new(at, Code::Const(Data::from(text.as_str()))), None),
                        Err((hole, format)) => (self.expect(hole, &Type::Object)?, format.clone()),
                    });
                }
                (Code::Interpolated(nodes), Type::String)
            }
            Kind::Name(name) => {
                if let Some((_, slot, ty)) = self
                    .scopes
                    .iter()
                    .flatten()
                    .find(|(known, _, _)| known == name)
                {
                    (Code::Local(*slot), ty.clone())
                } else if name == "context" {
                    (
                        Code::Const(Data::Part(Part::Context)),
                        Type::Part(Part::Context),
                    )
                } else if let Some(class) = class_name(name) {
                    (Code::Const(Data::Null), Type::Class(class))
                } else {
                    return fail(
                        at,
                        format!("The name '{name}' does not exist in the current context."),
                    );
                }
            }
            Kind::Receiver => match self.receivers.last() {
                Some((slot, ty)) => (Code::Local(*slot), ty.clone()),
                None => return fail(at, "'?.' without a receiver."),
            },
            Kind::Conditional(receiver, rest) => {
                let (receiver, ty) = self.value(receiver)?;
                let slot = self.slot();
                self.receivers.push((slot, ty));
                let checked = self.expr(rest);
                self.receivers.pop();
                let (rest, ty) = checked?;
                (
                    Code::Conditional(slot, Box::new(receiver), Box::new(rest)),
                    ty,
                )
            }
            Kind::Member(object, name, types) => return self.member(at, object, name, types, None),
            Kind::Call(callee, arguments) => match &callee.kind {
                Kind::Member(object, name, types) => {
                    return self.member(callee.at, object, name, types, Some(arguments));
                }
                _ => return fail(at, "Only members can be called."),
            },
            Kind::Index(object, index) => return self.index(at, object, index),
            Kind::Unary(sign, operand) => {
                let (operand, ty) = self.value(operand)?;
                match (*sign, &ty) {
                    ("!", Type::Bool) => (Code::Not(Box::new(operand)), Type::Bool),
                    ("-", Type::Int | Type::Double | Type::TimeSpan) => {
                        (Code::Negate(Box::new(operand)), ty)
                    }
                    ("+", Type::Int | Type::Double) => return Ok((operand, ty)),
                    _ => {
                        return fail(
                            at,
                            format!(
                                "Operator '{sign}' cannot be applied to type '{}'.",
                                ty.words()
                            ),
                        );
                    }
                }
            }
            Kind::Binary(sign, left, right) => {
                let (left, left_type) = self.value(left)?;
                let (right, right_type) = self.value(right)?;
                let Some((bin, ty)) = binary(sign, &left_type, &right_type) else {
                    return fail(
                        at,
                        format!(
                            "Operator '{sign}' cannot be applied to types '{}' and '{}'.",
                            left_type.words(),
                            right_type.words()
                        ),
                    );
                };
                (Code::Binary(bin, Box::new(left), Box::new(right)), ty)
            }
            Kind::Ternary(condition, then, otherwise) => {
                let condition = self.expect(condition, &Type::Bool)?;
                let (then, then_type) = self.value(then)?;
                let (otherwise, other_type) = self.value(otherwise)?;
                let Some(ty) = common(&then_type, &other_type) else {
                    return fail(
                        at,
                        format!(
                            "There is no common type of '{}' and '{}'.",
                            then_type.words(),
                            other_type.words()
                        ),
                    );
                };
                (
                    Code::Ternary(Box::new(condition), Box::new(then), Box::new(otherwise)),
                    ty,
                )
            }
            Kind::Cast(name, operand) => {
                let wanted = self.named_type(name)?;
                let (operand, ty) = self.value(operand)?;
                if !castable(&ty, &wanted) {
                    return fail(
                        at,
                        format!(
                            "Cannot convert type '{}' to '{}'.",
                            ty.words(),
                            wanted.words()
                        ),
                    );
                }
                (Code::Cast(wanted.clone(), Box::new(operand)), wanted)
            }
            Kind::Is(operand, name) => {
                let wanted = self.named_type(name)?;
                let (operand, _) = self.value(operand)?;
                (Code::Is(wanted, Box::new(operand)), Type::Bool)
            }
            Kind::As(operand, name) => {
                let wanted = self.named_type(name)?;
                let (operand, _) = self.value(operand)?;
                (Code::As(wanted.clone(), Box::new(operand)), wanted)
            }
            Kind::New(name, arguments, initializers) => {
                return self.new_object(at, name, arguments, initializers);
            }
            Kind::Array(name, size, items) => {
                return self.array(at, name.as_ref(), size.as_deref(), items);
            }
            Kind::Lambda(..) => return fail(at, "A lambda is not allowed here."),
            Kind::Assign(sign, target, value) => return self.assign(at, sign, target, value),
        };
        Ok((Node::new(at, code), ty))
    }

    /// An expression that is a value: not a class, not void.
    fn value(&mut self, expr: &Expr) -> Checked<(Node, Type)> {
        let (node, ty) = self.expr(expr)?;
        match ty {
            Type::Class(name) => fail(
                expr.at,
                format!("'{name}' is a type, which is not valid here."),
            ),
            Type::Void => fail(expr.at, "The expression has no value."),
            ty => Ok((node, ty)),
        }
    }

    fn index(&mut self, at: usize, object: &Expr, index: &Expr) -> Checked<(Node, Type)> {
        let (object, ty) = self.value(object)?;
        let (index_node, index_type) = self.value(index)?;
        let result = match (&ty, &index_type) {
            (Type::Variables, Type::String) => Type::Object,
            (Type::Headers, Type::String) => Type::List(Box::new(Type::String)),
            (Type::Dictionary(value), Type::String) => (**value).clone(),
            (Type::Token, Type::String | Type::Int | Type::Object) => Type::Token,
            (Type::JsonObject, Type::String) | (Type::JsonArray, Type::Int) => Type::Token,
            (Type::List(item), Type::Int) => (**item).clone(),
            (Type::List(item), Type::String) if **item == Type::Match => Type::Match,
            (Type::String, Type::Int) => Type::Char,
            (Type::Bytes, Type::Int) => Type::Int,
            _ => {
                return fail(
                    at,
                    format!(
                        "Cannot index type '{}' with '{}'.",
                        ty.words(),
                        index_type.words()
                    ),
                );
            }
        };
        Ok((
            Node::new(at, Code::Index(Box::new(object), Box::new(index_node))),
            result,
        ))
    }

    /// Dotted name of nothing but names: `System.Text.Encoding`.
    fn namespace(expr: &Expr) -> bool {
        match &expr.kind {
            Kind::Name(name) => matches!(name.as_str(), "System" | "Newtonsoft"),
            Kind::Member(inner, name, _) => {
                matches!(
                    name.as_str(),
                    "Text"
                        | "Linq"
                        | "Json"
                        | "Net"
                        | "Web"
                        | "RegularExpressions"
                        | "Collections"
                        | "Generic"
                ) && Self::namespace(inner)
            }
            _ => false,
        }
    }

    fn member(
        &mut self,
        at: usize,
        object: &Expr,
        name: &str,
        types: &[TypeName],
        arguments: Option<&[Expr]>,
    ) -> Checked<(Node, Type)> {
        if Self::namespace(object) {
            return self.expr(&Expr {
                at,
                depth: 0,
                kind: Kind::Name(name.to_owned()),
            });
        }
        let (receiver, ty) = self.expr(object)?;
        let mut generic = types.first().map(|ty| self.named_type(ty)).transpose()?;
        if let Type::Class(class) = ty {
            if class == "Encoding" && matches!(name, "UTF8" | "ASCII") && arguments.is_none() {
                return Ok((receiver, Type::Encoding));
            }
            if let Some((class, words)) = ENUMERATIONS.iter().find(|(known, _)| *known == class) {
                if arguments.is_some() || !words.contains(&name) {
                    return fail(
                        at,
                        format!("'{class}' does not contain a definition for '{name}'."),
                    );
                }
                let ty = if matches!(*class, "JTokenType" | "DayOfWeek") {
                    Type::String
                } else {
                    Type::Enumeration(class)
                };
                return Ok((Node::new(at, Code::Const(Data::from(name))), ty));
            }
        }
        let owners: Vec<String> = match &ty {
            Type::Class(class) => vec![format!("static {class}")],
            other => receivers(other).into_iter().map(str::to_owned).collect(),
        };
        if ty == Type::Void {
            return fail(at, "The expression has no value.");
        }
        let rows: Vec<_> = MEMBERS
            .iter()
            .filter(|(owner, signature, _, _)| {
                let (known, parameters) = signature
                    .split_once('(')
                    .map_or((*signature, false), |(known, _)| (known, true));
                known == name
                    && parameters == arguments.is_some()
                    && owners.iter().any(|wanted| wanted == owner)
            })
            .collect();
        if rows.is_empty() {
            return fail(
                at,
                format!(
                    "'{}' does not contain a definition for '{name}'.",
                    ty.words()
                ),
            );
        }
        let mut bindings = Bindings {
            item: item_of(&ty),
            value: match &ty {
                Type::Dictionary(value) | Type::Pair(value) => Some((**value).clone()),
                _ => None,
            },
            lambda: None,
            generic: generic.take(),
            last: None,
        };
        let mut reason = None;
        for (owner, signature, result, op) in rows {
            let snapshot = (self.scopes.clone(), self.slots);
            match self.arguments(
                at,
                signature,
                *op,
                arguments.unwrap_or_default(),
                &mut bindings,
            ) {
                Ok(mut nodes) => {
                    self.note_body(*op);
                    constant_regex(*op, &mut nodes)?;
                    let receiver = if owner.starts_with("static ") {
                        None
                    } else {
                        Some(Box::new(receiver))
                    };
                    let needs_generic = matches!(*result, "G" | "G[]");
                    if needs_generic && bindings.generic.is_none() {
                        if matches!(op, Op::VariableOrDefault) {
                            bindings.generic = Some(Type::Object);
                        } else {
                            return fail(at, format!("'{name}' needs a type argument."));
                        }
                    }
                    let ty = table_type(result, *op, &bindings);
                    let target = bindings.generic.clone().unwrap_or_else(|| match op {
                        Op::VariableOr => ty.clone(),
                        _ => Type::Object,
                    });
                    return Ok((
                        Node::new(at, Code::Member(*op, receiver, nodes, target)),
                        ty,
                    ));
                }
                Err(error) => {
                    (self.scopes, self.slots) = (snapshot.0, self.slots.max(snapshot.1));
                    reason.get_or_insert(error);
                }
            }
        }
        Err(reason.unwrap_or(CompileError {
            at,
            message: format!("No overload of '{name}' fits."),
        }))
    }

    fn note_body(&mut self, op: Op) {
        if let Op::Body(side) = op {
            match side {
                Side::Request => self.request_body = true,
                Side::Response => self.response_body = true,
            }
        }
    }

    fn arguments(
        &mut self,
        at: usize,
        signature: &str,
        op: Op,
        arguments: &[Expr],
        bindings: &mut Bindings,
    ) -> Checked<Vec<Node>> {
        let parameters = split_parameters(signature);
        let rest = parameters.last().and_then(|last| last.strip_suffix("..."));
        let fixed = parameters.len() - usize::from(rest.is_some());
        let name = signature.split('(').next().unwrap_or_default();
        if arguments.len() < fixed || (rest.is_none() && arguments.len() > fixed) {
            return fail(
                at,
                format!("'{name}' does not take {} arguments.", arguments.len()),
            );
        }
        let mut nodes = Vec::new();
        for (index, argument) in arguments.iter().enumerate() {
            let parameter = if index < fixed {
                parameters[index]
            } else {
                rest.unwrap_or_default()
            };
            if let Some((inputs, output)) = parameter.split_once("=>") {
                let count = if inputs.starts_with('(') { 2 } else { 1 };
                let wanted = table_type(output, op, bindings);
                let (node, ty) = self.lambda(
                    argument,
                    count,
                    &bindings.item.clone().unwrap_or(Type::Object),
                )?;
                if output != "any" && output != "any[]" && !fits(&ty, &wanted) {
                    return fail(
                        argument.at,
                        format!(
                            "Cannot convert type '{}' to '{}'.",
                            ty.words(),
                            wanted.words()
                        ),
                    );
                }
                bindings.lambda = Some(ty);
                nodes.push(node);
                continue;
            }
            let wanted = table_type(parameter, op, bindings);
            let (node, ty) = self.value(argument)?;
            if !fits(&ty, &wanted) {
                return fail(
                    argument.at,
                    format!(
                        "Cannot convert type '{}' to '{}'.",
                        ty.words(),
                        wanted.words()
                    ),
                );
            }
            bindings.last = match bindings.last.take() {
                Some(last) => common(&last, &ty).or(Some(ty)),
                None => Some(ty),
            };
            // The default of a lookup is its last argument, not a mixture with the key.
            if matches!(op, Op::VariableOr) {
                bindings.last = Some(literal_or(&node, bindings.last.take()));
            }
            nodes.push(node);
        }
        Ok(nodes)
    }

    fn lambda(&mut self, expr: &Expr, count: usize, item: &Type) -> Checked<(Node, Type)> {
        let Kind::Lambda(names, body) = &expr.kind else {
            return fail(expr.at, "A lambda is expected here.");
        };
        if names.len() != count {
            return fail(expr.at, format!("The lambda must have {count} parameters."));
        }
        self.scopes.push(Vec::new());
        let checked = self.lambda_body(expr.at, names, body, item);
        self.scopes.pop();
        let (slots, body, ty) = checked?;
        Ok((Node::new(expr.at, Code::Lambda(slots, Box::new(body))), ty))
    }

    fn lambda_body(
        &mut self,
        at: usize,
        names: &[String],
        body: &Body,
        item: &Type,
    ) -> Checked<(Vec<usize>, Node, Type)> {
        let mut slots = Vec::new();
        for name in names {
            slots.push(self.declare(at, name, item.clone())?);
        }
        match body {
            Body::Expr(body) => {
                let (node, ty) = self.value(body)?;
                Ok((slots, node, ty))
            }
            Body::Block(statements) => {
                self.returns.push(None);
                let loops = std::mem::take(&mut self.loops);
                let checked = self.block(statements);
                self.loops = loops;
                let ty = self.returns.pop().flatten();
                let nodes = checked?;
                if !always_ends(statements) {
                    return fail(at, "Not all code paths return a value.");
                }
                Ok((
                    slots,
                    Node::new(at, Code::Body(nodes)),
                    ty.unwrap_or(Type::Object),
                ))
            }
        }
    }

    fn new_object(
        &mut self,
        at: usize,
        name: &TypeName,
        arguments: &[Expr],
        initializers: &[Initializer],
    ) -> Checked<(Node, Type)> {
        let mut ty = self.named_type(name)?;
        if name.name == "string" || name.name == "String" {
            ty = Type::String;
        }
        let mut nodes = Vec::new();
        let mut types = Vec::new();
        for argument in arguments {
            let (node, ty) = self.value(argument)?;
            nodes.push(node);
            types.push(ty);
        }
        let wrong = || CompileError {
            at,
            message: format!("'{}' has no constructor for these arguments.", name.name),
        };
        let all = |wanted: &Type| types.iter().all(|ty| fits(ty, wanted));
        let kind = match (&ty, types.as_slice()) {
            (Type::JsonObject, types)
                if types.iter().all(|ty| {
                    matches!(
                        ty,
                        Type::Property | Type::JsonObject | Type::Object | Type::List(_)
                    )
                }) =>
            {
                New::JsonObject
            }
            (Type::JsonArray, _) => New::JsonArray,
            (Type::Property, [key, ..]) if fits(key, &Type::String) && types.len() >= 2 => {
                New::Property
            }
            (Type::Token, [_]) => New::Token,
            (Type::Builder, [] | [Type::String | Type::Int]) => New::Builder,
            (Type::Random, [] | [Type::Int]) => New::Random,
            (Type::Regex, [Type::String] | [Type::String, Type::Enumeration("RegexOptions")]) => {
                constant_regex_argument(&mut nodes, 0)?;
                New::Regex
            }
            (Type::List(_), [] | [Type::Int]) => New::List,
            (Type::List(_), [source]) if item_of(source).is_some() => New::List,
            (Type::Dictionary(_), []) => New::Dictionary,
            (Type::Dictionary(_), [Type::Enumeration("StringComparer")]) => New::Dictionary,
            (Type::DateTime, types) if matches!(types.len(), 3 | 6 | 7) && all(&Type::Int) => {
                New::DateTime
            }
            (Type::TimeSpan, types) if matches!(types.len(), 3 | 4) && all(&Type::Int) => {
                New::TimeSpan
            }
            (Type::Guid, [Type::String]) => New::Guid,
            (Type::String, [Type::Char, Type::Int]) => New::Repeat,
            (Type::String, [Type::List(item)]) if **item == Type::Char => New::FromChars,
            _ => return Err(wrong()),
        };
        let mut entries = Vec::new();
        for initializer in initializers {
            entries.push(match (initializer, &ty) {
                (Initializer::Item(item), Type::List(wanted)) => (None, self.expect(item, wanted)?),
                (Initializer::Item(item), Type::JsonArray | Type::JsonObject) => {
                    (None, self.expect(item, &Type::Object)?)
                }
                (Initializer::Entry(key, value), Type::Dictionary(wanted)) => (
                    Some(self.expect(key, &Type::String)?),
                    self.expect(value, wanted)?,
                ),
                (Initializer::Entry(key, value), Type::JsonObject) => (
                    Some(self.expect(key, &Type::String)?),
                    self.expect(value, &Type::Object)?,
                ),
                _ => {
                    return fail(
                        at,
                        format!("'{}' cannot be initialised like this.", name.name),
                    );
                }
            });
        }
        Ok((Node::new(at, Code::New(kind, nodes, entries)), ty))
    }

    fn array(
        &mut self,
        at: usize,
        name: Option<&TypeName>,
        size: Option<&Expr>,
        items: &[Expr],
    ) -> Checked<(Node, Type)> {
        if let (Some(size), Some(name)) = (size, name) {
            let item = self.named_type(name)?;
            let size = self.expect(size, &Type::Int)?;
            return Ok((
                Node::new(at, Code::SizedArray(item.clone(), Box::new(size))),
                Type::List(Box::new(item)),
            ));
        }
        let mut nodes = Vec::new();
        let mut item = name.map(|name| self.named_type(name)).transpose()?;
        let declared = item.is_some();
        for expr in items {
            let (node, ty) = self.value(expr)?;
            let known = item.take().unwrap_or_else(|| ty.clone());
            item = if declared {
                if !fits(&ty, &known) {
                    return fail(
                        expr.at,
                        format!(
                            "Cannot convert type '{}' to '{}'.",
                            ty.words(),
                            known.words()
                        ),
                    );
                }
                Some(known)
            } else {
                match common(&known, &ty) {
                    Some(ty) => Some(ty),
                    None => return fail(expr.at, "The items of the array have no common type."),
                }
            };
            nodes.push(node);
        }
        Ok((
            Node::new(at, Code::Array(nodes)),
            Type::List(Box::new(item.unwrap_or(Type::Object))),
        ))
    }

    fn assign(
        &mut self,
        at: usize,
        sign: &str,
        target: &Expr,
        value: &Expr,
    ) -> Checked<(Node, Type)> {
        let (place, ty) = self.value(target)?;
        let (value_node, value_type) = self.value(value)?;
        let (value, value_type) = if sign == "=" {
            (value_node, value_type)
        } else {
            let operator = sign.trim_end_matches('=');
            let Some((bin, result)) = binary(operator, &ty, &value_type) else {
                return fail(
                    at,
                    format!(
                        "Operator '{sign}' cannot be applied to types '{}' and '{}'.",
                        ty.words(),
                        value_type.words()
                    ),
                );
            };
            (
                Node::new(
                    at,
                    Code::Binary(bin, Box::new(place.clone()), Box::new(value_node)),
                ),
                result,
            )
        };
        if !fits(&value_type, &ty) {
            return fail(
                value.at,
                format!(
                    "Cannot convert type '{}' to '{}'.",
                    value_type.words(),
                    ty.words()
                ),
            );
        }
        let code = match place.code {
            Code::Local(slot) => Code::SetLocal(slot, Box::new(value)),
            Code::Index(object, index) => Code::SetIndex(object, index, Box::new(value)),
            Code::Member(Op::PropertyValue, Some(property), _, _) => {
                Code::SetProperty(property, Box::new(value))
            }
            _ => return fail(at, "This cannot be assigned to."),
        };
        Ok((Node::new(at, code), ty))
    }

    pub(super) fn block(&mut self, statements: &[Stmt]) -> Checked<Vec<Node>> {
        self.scopes.push(Vec::new());
        let nodes = statements
            .iter()
            .map(|statement| self.statement(statement))
            .collect();
        self.scopes.pop();
        nodes
    }

    pub(super) fn statement(&mut self, statement: &Stmt) -> Checked<Node> {
        let at = statement.at;
        let code = match &statement.kind {
            StmtKind::Var(ty, name, value) => {
                let declared = ty.as_ref().map(|ty| self.named_type(ty)).transpose()?;
                let value = value
                    .as_ref()
                    .map(|value| Ok((value.at, self.value(value)?)))
                    .transpose()?;
                let (ty, node) = match (declared, value) {
                    (Some(declared), Some((value_at, (node, ty)))) => {
                        if !fits(&ty, &declared) {
                            return fail(
                                value_at,
                                format!(
                                    "Cannot convert type '{}' to '{}'.",
                                    ty.words(),
                                    declared.words()
                                ),
                            );
                        }
                        (declared, node)
                    }
                    (Some(declared), None) => {
                        (declared.clone(), Node::new(at, Code::Default(declared)))
                    }
                    (None, Some((value_at, (_, Type::Null)))) => {
                        return fail(
                            value_at,
                            "Cannot assign null to an implicitly-typed variable.",
                        );
                    }
                    (None, Some((_, (node, ty)))) => (ty, node),
                    (None, None) => {
                        return fail(at, "Implicitly-typed variables must be initialized.");
                    }
                };
                Code::SetLocal(self.declare(at, name, ty)?, Box::new(node))
            }
            StmtKind::Expr(expr) => {
                if !matches!(
                    expr.kind,
                    Kind::Assign(..) | Kind::Call(..) | Kind::Conditional(..) | Kind::New(..)
                ) {
                    return fail(at, "Only assignments and calls can be used as a statement.");
                }
                return Ok(self.expr(expr)?.0);
            }
            StmtKind::If(condition, then, otherwise) => Code::If(
                Box::new(self.expect(condition, &Type::Bool)?),
                self.block(std::slice::from_ref(then))?,
                match otherwise {
                    Some(otherwise) => self.block(std::slice::from_ref(otherwise))?,
                    None => Vec::new(),
                },
            ),
            StmtKind::While(condition, body) => {
                let condition = self.expect(condition, &Type::Bool)?;
                Code::Loop(Some(Box::new(condition)), Vec::new(), self.looped(body)?)
            }
            StmtKind::For(first, condition, steps, body) => {
                self.scopes.push(Vec::new());
                let checked = self.for_loop(first, condition.as_ref(), steps, body);
                self.scopes.pop();
                Code::Seq(checked?)
            }
            StmtKind::Foreach(ty, name, items, body) => {
                let (items_node, items_type) = self.value(items)?;
                let Some(item) = item_of(&items_type) else {
                    return fail(
                        items.at,
                        format!("'foreach' cannot go over type '{}'.", items_type.words()),
                    );
                };
                let declared = match ty {
                    Some(ty) => self.named_type(ty)?,
                    None => item.clone(),
                };
                if !castable(&item, &declared) {
                    return fail(
                        at,
                        format!(
                            "Cannot convert type '{}' to '{}'.",
                            item.words(),
                            declared.words()
                        ),
                    );
                }
                self.scopes.push(Vec::new());
                let slot = self.declare(at, name, declared);
                let body = slot.and_then(|slot| Ok((slot, self.looped(body)?)));
                self.scopes.pop();
                let (slot, body) = body?;
                Code::Foreach(slot, Box::new(items_node), body)
            }
            StmtKind::Return(value) => {
                let (node, ty) = self.value(value)?;
                if let Some(result) = self.returns.last_mut() {
                    *result = match result.take() {
                        None => Some(ty),
                        Some(known) => Some(common(&known, &ty).unwrap_or(Type::Object)),
                    };
                }
                Code::Return(Box::new(node))
            }
            StmtKind::Throw(Some(Expr {
                kind: Kind::New(_, arguments, _),
                ..
            })) => {
                // `new Exception("message")`: only its message can be seen.
                let message = match arguments.first() {
                    Some(message) => self.expect(message, &Type::Object)?,
                    None => Node::new(at, Code::Const(Data::Null)),
                };
                Code::Throw(Box::new(message))
            }
            StmtKind::Throw(Some(value)) => {
                Code::Throw(Box::new(self.expect(value, &Type::Object)?))
            }
            StmtKind::Throw(None) => Code::Throw(Box::new(Node::new(at, Code::Const(Data::Null)))),
            StmtKind::Break if self.loops > 0 => Code::Break,
            StmtKind::Continue if self.loops > 0 => Code::Continue,
            StmtKind::Break | StmtKind::Continue => return fail(at, "There is no loop here."),
            StmtKind::Block(statements) => Code::Seq(self.block(statements)?),
            StmtKind::Try(body, catch, finally) => {
                let body = self.block(body)?;
                let catch = match catch {
                    Some((variable, statements)) => {
                        self.scopes.push(Vec::new());
                        let slot = match variable {
                            Some(name) => self.declare(at, name, Type::String).map(Some),
                            None => Ok(None),
                        };
                        let checked = slot.and_then(|slot| Ok((slot, self.block(statements)?)));
                        self.scopes.pop();
                        Some(checked?)
                    }
                    None => None,
                };
                Code::Try(body, catch, self.block(finally)?)
            }
        };
        Ok(Node::new(at, code))
    }

    fn looped(&mut self, body: &Stmt) -> Checked<Vec<Node>> {
        self.loops += 1;
        let nodes = self.block(std::slice::from_ref(body));
        self.loops -= 1;
        nodes
    }

    fn for_loop(
        &mut self,
        first: &[Stmt],
        condition: Option<&Expr>,
        steps: &[Expr],
        body: &Stmt,
    ) -> Checked<Vec<Node>> {
        let mut nodes: Vec<Node> = first
            .iter()
            .map(|statement| self.statement(statement))
            .collect::<Checked<_>>()?;
        let condition = condition
            .map(|condition| self.expect(condition, &Type::Bool))
            .transpose()?;
        let steps = steps
            .iter()
            .map(|step| Ok(self.expr(step)?.0))
            .collect::<Checked<_>>()?;
        let body = self.looped(body)?;
        nodes.push(Node::new(
            0,
            Code::Loop(condition.map(Box::new), steps, body),
        ));
        Ok(nodes)
    }

    /// Type of the values that the outermost body returns.
    pub(super) fn returned(&self) -> Type {
        self.returns
            .first()
            .cloned()
            .flatten()
            .unwrap_or(Type::Void)
    }
}

pub(super) fn always_ends(statements: &[Stmt]) -> bool {
    statements.iter().any(|statement| match &statement.kind {
        StmtKind::Return(_) | StmtKind::Throw(_) => true,
        StmtKind::If(_, then, Some(otherwise)) => {
            always_ends(std::slice::from_ref(then)) && always_ends(std::slice::from_ref(otherwise))
        }
        StmtKind::Block(inner) => always_ends(inner),
        StmtKind::Try(body, catch, finally) => {
            always_ends(finally)
                || (always_ends(body)
                    && catch
                        .as_ref()
                        .is_none_or(|(_, statements)| always_ends(statements)))
        }
        _ => false,
    })
}

fn literal_or(node: &Node, known: Option<Type>) -> Type {
    match &node.code {
        Code::Const(data) => literal_type(data),
        _ => known.unwrap_or(Type::Object),
    }
}

fn literal_type(data: &Data) -> Type {
    match data {
        Data::Null => Type::Null,
        Data::Bool(_) => Type::Bool,
        Data::Int(_) => Type::Int,
        Data::Double(_) => Type::Double,
        Data::Char(_) => Type::Char,
        Data::String(_) => Type::String,
        _ => Type::Object,
    }
}

/// Parameters of a table signature, split at commas outside parentheses.
fn split_parameters(signature: &str) -> Vec<&str> {
    let Some((_, rest)) = signature.split_once('(') else {
        return Vec::new();
    };
    let inner = rest.strip_suffix(')').unwrap_or(rest);
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(inner[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inner.is_empty() {
        parts.push(inner[start..].trim());
    }
    parts
}

fn castable(from: &Type, to: &Type) -> bool {
    let number = |ty: &Type| matches!(ty, Type::Int | Type::Double | Type::Char);
    fits(from, to)
        || fits(to, from)
        || matches!(from, Type::Object)
        || (number(from) && number(to))
        || (matches!(from, Type::Token) && !matches!(to, Type::Response | Type::Jwt))
}

fn common(a: &Type, b: &Type) -> Option<Type> {
    match (a, b) {
        // A conditional member may give null for a value type.
        (Type::Null, other) | (other, Type::Null) => Some(other.clone()),
        _ if fits(a, b) => Some(b.clone()),
        _ if fits(b, a) => Some(a.clone()),
        _ => None,
    }
}

fn binary(sign: &str, left: &Type, right: &Type) -> Option<(Bin, Type)> {
    let number = |ty: &Type| matches!(ty, Type::Int | Type::Double | Type::Char);
    let arithmetic = if *left == Type::Double || *right == Type::Double {
        Type::Double
    } else {
        Type::Int
    };
    Some(match sign {
        "&&" | "||" if *left == Type::Bool && *right == Type::Bool => {
            (if sign == "&&" { Bin::And } else { Bin::Or }, Type::Bool)
        }
        "??" => (Bin::Coalesce, common(left, right)?),
        "==" | "!=" => {
            let null = *left == Type::Null || *right == Type::Null;
            let json = |ty: &Type| matches!(ty, Type::Token | Type::JsonObject | Type::JsonArray);
            // .NET would compare references of a token and a text and say false; that is never meant, so a cast is demanded.
            if !null && json(left) != json(right) {
                return None;
            }
            if !null && !fits(left, right) && !fits(right, left) {
                return None;
            }
            (
                if sign == "==" {
                    Bin::Equal
                } else {
                    Bin::NotEqual
                },
                Type::Bool,
            )
        }
        "+" if matches!(left, Type::String) || matches!(right, Type::String) => {
            if matches!(left, Type::Void) || matches!(right, Type::Void) {
                return None;
            }
            (Bin::Concat, Type::String)
        }
        "+" | "-" | "*" | "/" | "%" if number(left) && number(right) => {
            let bin = match sign {
                "+" => Bin::Add,
                "-" => Bin::Subtract,
                "*" => Bin::Multiply,
                "/" => Bin::Divide,
                _ => Bin::Remainder,
            };
            (bin, arithmetic)
        }
        "+" if *left == Type::DateTime && *right == Type::TimeSpan => (Bin::Add, Type::DateTime),
        "-" if *left == Type::DateTime && *right == Type::TimeSpan => {
            (Bin::Subtract, Type::DateTime)
        }
        "-" if *left == Type::DateTime && *right == Type::DateTime => {
            (Bin::Subtract, Type::TimeSpan)
        }
        "+" | "-" if *left == Type::TimeSpan && *right == Type::TimeSpan => (
            if sign == "+" { Bin::Add } else { Bin::Subtract },
            Type::TimeSpan,
        ),
        "<" | ">" | "<=" | ">=" => {
            let ordered = (number(left) && number(right))
                || (left == right && matches!(left, Type::DateTime | Type::TimeSpan));
            if !ordered {
                return None;
            }
            let bin = match sign {
                "<" => Bin::Less,
                ">" => Bin::Greater,
                "<=" => Bin::LessOrEqual,
                _ => Bin::GreaterOrEqual,
            };
            (bin, Type::Bool)
        }
        "&" | "|" | "^" if *left == Type::Int && *right == Type::Int => (
            if sign == "&" {
                Bin::BitAnd
            } else if sign == "|" {
                Bin::BitOr
            } else {
                Bin::BitXor
            },
            Type::Int,
        ),
        "&" | "|" if *left == Type::Bool && *right == Type::Bool => {
            (if sign == "&" { Bin::And } else { Bin::Or }, Type::Bool)
        }
        "^" if *left == Type::Bool && *right == Type::Bool => (Bin::NotEqual, Type::Bool),
        "|" if matches!((left, right), (Type::Enumeration(a), Type::Enumeration(b)) if a == b) => {
            (Bin::Flags, left.clone())
        }
        _ => return None,
    })
}

/// Compiles patterns that are literals, so that a wrong one is found now and a right one is compiled once.
fn constant_regex(op: Op, nodes: &mut [Node]) -> Checked<()> {
    match op {
        Op::RegexIsMatch
        | Op::RegexMatch
        | Op::RegexMatches
        | Op::RegexReplace
        | Op::RegexSplit => constant_regex_argument(nodes, 1),
        _ => Ok(()),
    }
}

fn constant_regex_argument(nodes: &mut [Node], index: usize) -> Checked<()> {
    let options = match nodes.last().map(|last| &last.code) {
        Some(Code::Const(Data::String(options))) if nodes.len() > index + 1 => options.to_string(),
        Some(Code::Const(_)) | None => String::new(),
        Some(_)
            if nodes.len() > index + 1
                && !matches!(nodes[nodes.len() - 1].code, Code::Const(_)) =>
        {
            return Ok(());
        }
        Some(_) => String::new(),
    };
    let Some(node) = nodes.get_mut(index) else {
        return Ok(());
    };
    if let Code::Const(Data::String(pattern)) = &node.code {
        match regex_of(pattern, &options) {
            Ok(regex) => node.code = Code::Const(Data::Regex(regex)),
            Err(message) => return fail(node.at, message),
        }
    }
    Ok(())
}
