//! Compiled programs.

use super::Type;
use super::data::Data;
use super::member::Op;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: usize,
    pub(super) code: Code,
}

impl Node {
    pub(super) fn new(at: usize, code: Code) -> Self {
        Self { at, code }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bin {
    And,
    Or,
    Coalesce,
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    Concat,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    BitAnd,
    BitOr,
    BitXor,
    Flags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum New {
    JsonObject,
    JsonArray,
    Property,
    Token,
    Builder,
    Random,
    Regex,
    List,
    Dictionary,
    DateTime,
    TimeSpan,
    Guid,
    Repeat,
    FromChars,
}

#[derive(Clone, Debug)]
pub(super) enum Code {
    Const(Data),
    Local(usize),
    SetLocal(usize, Box<Node>),
    SetIndex(Box<Node>, Box<Node>, Box<Node>),
    SetProperty(Box<Node>, Box<Node>),
    Interpolated(Vec<(Node, Option<String>)>),
    Conditional(usize, Box<Node>, Box<Node>),
    Member(Op, Option<Box<Node>>, Vec<Node>, Type),
    Index(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Bin, Box<Node>, Box<Node>),
    Ternary(Box<Node>, Box<Node>, Box<Node>),
    Cast(Type, Box<Node>),
    Is(Type, Box<Node>),
    As(Type, Box<Node>),
    New(New, Vec<Node>, Vec<(Option<Node>, Node)>),
    Array(Vec<Node>),
    SizedArray(Type, Box<Node>),
    Lambda(Vec<usize>, Box<Node>),
    Default(Type),
    Seq(Vec<Node>),
    /// A block that returns, the body of a lambda or of the expression.
    Body(Vec<Node>),
    If(Box<Node>, Vec<Node>, Vec<Node>),
    Loop(Option<Box<Node>>, Vec<Node>, Vec<Node>),
    Foreach(usize, Box<Node>, Vec<Node>),
    Return(Box<Node>),
    Throw(Box<Node>),
    Break,
    Continue,
    Try(Vec<Node>, Option<(Option<usize>, Vec<Node>)>, Vec<Node>),
}
