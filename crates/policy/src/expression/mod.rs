//! Policy expressions: a subset of C#, compiled and type-checked when a policy is stored, evaluated for each request.

mod context;
mod data;

pub use context::{Context, Field, Map, Part, Side};
pub use data::{Data, Json, Jwt, Property, ResponseData, Shared};

/// Static type of an expression, as far as the checker tells types apart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the type of the same name in C# or of the context")]
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
        Self { fuel: 200_000, memory_bytes: 16 * 1024 * 1024 }
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

/// A compiled expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    source: std::sync::Arc<str>,
}

impl Expression {
    /// Compiles `@(...)` or `@{...}`.
    ///
    /// # Errors
    /// What the checker found.
    pub fn compile(_source: &str, _expected: &Type) -> Result<Self, Vec<CompileError>> {
        Err(vec![CompileError { at: 0, message: "Policy expressions are not supported yet.".to_owned() }])
    }

    /// The text of the expression with its `@`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether evaluation reads the body of this side, so that it must be buffered before.
    pub fn needs_body(&self, _side: Side) -> bool {
        false
    }

    /// Computes the value for one request.
    ///
    /// # Errors
    /// What failed; limits included.
    pub fn evaluate(&self, _context: &dyn Context, _limits: Limits) -> Result<Data, Failure> {
        Err(self.failure("Policy expressions are not supported yet.".to_owned()))
    }

    pub(crate) fn failure(&self, message: String) -> Failure {
        Failure { at: 0, message }
    }
}
