//! Policy expressions: a subset of C#, compiled and type-checked when a policy is stored, evaluated for each request.

mod check;
mod context;
mod data;
mod eval;
mod member;
mod program;
mod syntax;

use std::sync::Arc;

use crate::xml::end_of_expression;
use program::Node;

pub use context::{Context, Field, Map, Part, Side};
pub use data::{Captured, Data, Json, Jwt, Members, Property, ResponseData, Shared};

/// Static type of an expression, as far as the checker tells types apart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is the type of the same name in C# or of the context"
)]
pub enum Type {
    Object,
    Null,
    Void,
    Bool,
    Int,
    Double,
    Char,
    String,
    Bytes,
    DateTime,
    TimeSpan,
    Guid,
    Token,
    JsonObject,
    JsonArray,
    Property,
    List(Box<Type>),
    Dictionary(Box<Type>),
    Pair(Box<Type>),
    Builder,
    Random,
    Regex,
    Match,
    Jwt,
    Basic,
    Response,
    Group,
    Part(Part),
    Headers,
    Body,
    Variables,
    /// The name of a class, for static members.
    Class(&'static str),
    Encoding,
    /// A word of an enumeration, with the enumeration's name.
    Enumeration(&'static str),
}

/// How much one evaluation may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps: about one for each operator, member or item touched.
    pub fuel: u64,
    /// Bytes of text and items made, summed over the evaluation.
    pub memory_bytes: usize,
}

impl Default for Limits {
    /// Generous for policies, and a few milliseconds at most.
    fn default() -> Self {
        Self {
            fuel: 200_000,
            memory_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Why an expression did not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// Byte offset in the expression, counted from its `@`.
    pub at: usize,
    /// What is wrong.
    pub message: String,
}

/// Why an evaluation failed: LastError reason `ExpressionValueEvaluationFailure`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Expression evaluation failed. {message}")]
pub struct Failure {
    /// Byte offset in the expression of what failed.
    pub at: usize,
    /// What failed.
    pub message: String,
}

/// A compiled expression. Two are equal when their texts are.
#[derive(Clone, Debug)]
pub struct Expression {
    source: Arc<str>,
    program: Arc<[Node]>,
    slots: usize,
    request_body: bool,
    response_body: bool,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Expression {
    /// Compiles `@(...)` or `@{...}` and checks that its value can become `expected`: a Boolean must be one, other values are
    /// converted from text when they are used.
    ///
    /// # Errors
    /// What the checker found.
    pub fn compile(source: &str, expected: &Type) -> Result<Self, Vec<CompileError>> {
        compile(source, expected).map_err(|error| vec![error])
    }

    /// The text of the expression with its `@`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether evaluation reads the body of this side, so that it must be buffered before.
    pub fn needs_body(&self, side: Side) -> bool {
        match side {
            Side::Request => self.request_body,
            Side::Response => self.response_body,
        }
    }

    /// Computes the value for one request.
    ///
    /// # Errors
    /// What failed; limits included.
    pub fn evaluate(&self, context: &dyn Context, limits: Limits) -> Result<Data, Failure> {
        eval::run(&self.program, self.slots, context, limits)
    }

    pub(crate) fn failure(&self, message: String) -> Failure {
        Failure { at: 0, message }
    }
}

fn compile(source: &str, expected: &Type) -> Result<Expression, CompileError> {
    if end_of_expression(source) != Some(source.len()) {
        return Err(CompileError {
            at: 0,
            message: "The expression is not closed, or text follows it.".to_owned(),
        });
    }
    let inner = &source[2..source.len() - 1];
    let mut checker = check::Checker::new();
    let (program, ty, at) = if source.starts_with("@(") {
        let expr = syntax::parse_expression(inner, 2)?;
        let (node, ty) = checker.expr(&expr)?;
        (vec![node], ty, expr.at)
    } else {
        let statements = syntax::parse_statements(inner, 2)?;
        let program = checker.block(&statements)?;
        if !check::always_ends(&statements) {
            let message = "Not all code paths return a value.".to_owned();
            return Err(CompileError { at: 0, message });
        }
        (program, checker.returned(), 0)
    };
    let wrong = match (&ty, expected) {
        (Type::Void | Type::Class(_), _) => Some("The expression has no value.".to_owned()),
        (Type::Bool, Type::Bool) => None,
        (_, Type::Bool) => {
            Some("The expression must give a value of type 'bool'; use a cast.".to_owned())
        }
        (Type::Bool, Type::Int | Type::Double) => {
            Some("The expression must give a number.".to_owned())
        }
        _ => None,
    };
    match wrong {
        Some(message) => Err(CompileError { at, message }),
        None => Ok(Expression {
            source: source.into(),
            program: program.into(),
            slots: checker.slots,
            request_body: checker.request_body,
            response_body: checker.response_body,
        }),
    }
}
