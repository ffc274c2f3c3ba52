//! Attribute and text values: literals or compiled expressions.

use std::borrow::Cow;
use std::time::Duration;

use crate::expression::{Context, Data, Expression, Failure, Limits, Type};

/// A value that the author wrote as text or as a policy expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<T> {
    /// Known when the document was parsed.
    Literal(T),
    /// Computed for each request.
    Expression(Expression),
}

impl<T: Literal> Value<T> {
    /// The value for one request.
    ///
    /// # Errors
    /// When the expression fails, or its result does not fit the attribute (LastError reason `ExpressionValueEvaluationFailure`).
    pub fn evaluate(&self, context: &dyn Context, limits: Limits) -> Result<Cow<'_, T>, Failure> {
        match self {
            Self::Literal(value) => Ok(Cow::Borrowed(value)),
            Self::Expression(expression) => {
                let data = expression.evaluate(context, limits)?;
                T::from_data(data)
                    .map(Cow::Owned)
                    .map_err(|reason| expression.failure(reason))
            }
        }
    }

    /// The literal, if it is one.
    pub fn literal(&self) -> Option<&T> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Expression(_) => None,
        }
    }

    /// The expression, if it is one.
    pub fn expression(&self) -> Option<&Expression> {
        match self {
            Self::Literal(_) => None,
            Self::Expression(expression) => Some(expression),
        }
    }
}

/// A type that policy attributes can have.
pub trait Literal: Clone {
    /// What a value must look like, for problem messages: "a whole number".
    const EXPECTED: &'static str;

    /// Reads the text of an attribute.
    fn from_text(text: &str) -> Option<Self>;

    /// Type that an expression in this place must have.
    fn expected_type() -> Type;

    /// Converts the result of an expression; the error says why it does not fit.
    ///
    /// # Errors
    /// A sentence that names the value and what is expected.
    fn from_data(data: Data) -> Result<Self, String> {
        let text = data.to_text();
        Self::from_text(&text).ok_or_else(|| format!("'{text}' is not {}.", Self::EXPECTED))
    }
}

impl Literal for String {
    const EXPECTED: &'static str = "text";

    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn expected_type() -> Type {
        Type::Object
    }

    fn from_data(data: Data) -> Result<Self, String> {
        Ok(data.to_text())
    }
}

impl Literal for bool {
    const EXPECTED: &'static str = "'true' or 'false'";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "true" | "True" | "1" => Some(true),
            "false" | "False" | "0" => Some(false),
            _ => None,
        }
    }

    fn expected_type() -> Type {
        Type::Bool
    }
}

impl Literal for u64 {
    const EXPECTED: &'static str = "a whole number, not negative";

    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }

    fn expected_type() -> Type {
        Type::Int
    }
}

impl Literal for u32 {
    const EXPECTED: &'static str = "a whole number, not negative";

    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }

    fn expected_type() -> Type {
        Type::Int
    }
}

impl Literal for u16 {
    const EXPECTED: &'static str = "a whole number from 0 to 65535";

    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }

    fn expected_type() -> Type {
        Type::Int
    }
}

/// Bytes: `byte[]` of an expression, or text in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({})", self.0.len())
    }
}

impl Literal for Bytes {
    const EXPECTED: &'static str = "bytes in base64";

    fn from_text(text: &str) -> Option<Self> {
        use base64::Engine as _;
        let text: String = text.split_ascii_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        bytes.ok().map(Self)
    }

    fn expected_type() -> Type {
        Type::Object
    }

    fn from_data(data: Data) -> Result<Self, String> {
        match data {
            Data::Bytes(bytes) => Ok(Self(bytes.to_vec())),
            // The value may be a key: it is not repeated.
            other => Self::from_text(&other.to_text())
                .ok_or_else(|| format!("The value is not {}.", Self::EXPECTED)),
        }
    }
}

/// Durations are whole or fractional seconds in every attribute that has one.
impl Literal for Duration {
    const EXPECTED: &'static str = "a number of seconds";

    fn from_text(text: &str) -> Option<Self> {
        let seconds: f64 = text.trim().parse().ok()?;
        Self::try_from_secs_f64(seconds).ok()
    }

    fn expected_type() -> Type {
        Type::Double
    }
}

/// An HTTP status code that can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusCode(pub u16);

impl Literal for StatusCode {
    const EXPECTED: &'static str = "an HTTP status code from 100 to 599";

    fn from_text(text: &str) -> Option<Self> {
        text.trim()
            .parse()
            .ok()
            .filter(|code| (100..600).contains(code))
            .map(Self)
    }

    fn expected_type() -> Type {
        Type::Int
    }
}

/// Declares an attribute type whose values are words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident ($expected:literal) { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $crate::value::Literal for $name {
            const EXPECTED: &'static str = $expected;

            fn from_text(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }

            fn expected_type() -> $crate::expression::Type {
                $crate::expression::Type::String
            }
        }
    };
}
pub(crate) use words;
