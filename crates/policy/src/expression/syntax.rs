//! Text to syntax tree.

use super::CompileError;
use super::data::Data;

/// Nesting that a person can read; it also bounds the stack of the checker and the evaluator.
const DEPTH_LIMIT: usize = 80;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Name(String),
    Int(i64),
    Double(f64),
    Char(char),
    Text(String),
    Interpolated(Vec<Piece>),
    Sign(&'static str),
    End,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    /// Source and offset of a hole, and its format.
    Hole(String, usize, Option<String>),
}

#[derive(Clone, Debug)]
pub(super) struct TypeName {
    pub(super) at: usize,
    pub(super) name: String,
    pub(super) arguments: Vec<TypeName>,
    pub(super) rank: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Expr {
    pub(super) at: usize,
    pub(super) depth: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Literal(Data),
    Interpolated(Vec<Result<String, (Expr, Option<String>)>>),
    Name(String),
    Member(Box<Expr>, String, Vec<TypeName>),
    Call(Box<Expr>, Vec<Expr>),
    Index(Box<Expr>, Box<Expr>),
    /// `receiver?.rest`: the rest begins with `Receiver`.
    Conditional(Box<Expr>, Box<Expr>),
    Receiver,
    Unary(&'static str, Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Ternary(Box<Expr>, Box<Expr>, Box<Expr>),
    Cast(TypeName, Box<Expr>),
    Is(Box<Expr>, TypeName),
    As(Box<Expr>, TypeName),
    New(TypeName, Vec<Expr>, Vec<Initializer>),
    Array(Option<TypeName>, Option<Box<Expr>>, Vec<Expr>),
    Lambda(Vec<String>, Box<Body>),
    Assign(&'static str, Box<Expr>, Box<Expr>),
}

#[derive(Clone, Debug)]
pub(super) enum Initializer {
    Item(Expr),
    Entry(Expr, Expr),
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Expr(Expr),
    Block(Vec<Stmt>),
}

#[derive(Clone, Debug)]
pub(super) struct Stmt {
    pub(super) at: usize,
    pub(super) kind: StmtKind,
}

#[derive(Clone, Debug)]
pub(super) enum StmtKind {
    Var(Option<TypeName>, String, Option<Expr>),
    Expr(Expr),
    If(Expr, Box<Stmt>, Option<Box<Stmt>>),
    While(Expr, Box<Stmt>),
    For(Vec<Stmt>, Option<Expr>, Vec<Expr>, Box<Stmt>),
    Foreach(Option<TypeName>, String, Expr, Box<Stmt>),
    Return(Expr),
    Throw(Option<Expr>),
    Break,
    Continue,
    Block(Vec<Stmt>),
    Try(Vec<Stmt>, Option<(Option<String>, Vec<Stmt>)>, Vec<Stmt>),
}

type Parse<T> = Result<T, CompileError>;

fn error<T>(at: usize, message: impl Into<String>) -> Parse<T> {
    Err(CompileError {
        at,
        message: message.into(),
    })
}

const SIGNS: &[&str] = &[
    "??=", "=>", "==", "!=", "<=", ">=", "&&", "||", "??", "?.", "?[", "+=", "-=", "*=", "/=",
    "++", "--", "(", ")", "{", "}", "[", "]", ".", ",", ";", ":", "?", "+", "-", "*", "/", "%",
    "<", ">", "=", "!", "&", "|", "^",
];

fn lex(source: &str, base: usize) -> Parse<Vec<(Token, usize)>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let here = base + at;
        if c.is_whitespace() {
            at += c.len_utf8();
        } else if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            match rest.find("*/") {
                Some(end) => at += end + 2,
                None => return error(here, "Comment is not closed."),
            }
        } else if c == '"'
            || rest.starts_with("@\"")
            || rest.starts_with("$\"")
            || rest.starts_with("$@\"")
            || rest.starts_with("@$\"")
        {
            let (token, length) = text(rest, here)?;
            tokens.push((token, here));
            at += length;
        } else if c == '\'' {
            let mut chars = rest[1..].char_indices();
            let (value, length) = match chars.next() {
                Some((_, '\\')) => unescape(&rest[1..], here)?,
                Some((_, value)) => (value, value.len_utf8()),
                None => return error(here, "Character is not closed."),
            };
            if !rest[1 + length..].starts_with('\'') {
                return error(here, "Character is not closed.");
            }
            tokens.push((Token::Char(value), here));
            at += length + 2;
        } else if c.is_ascii_digit() {
            let (token, length) = number(rest, here)?;
            tokens.push((token, here));
            at += length;
        } else if c.is_alphabetic()
            || c == '_'
            || (c == '@' && rest[1..].starts_with(|c: char| c.is_alphabetic()))
        {
            let skip = usize::from(c == '@');
            let length = rest[skip..]
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .map_or(rest.len(), |length| length + skip);
            tokens.push((Token::Name(rest[skip..length].to_owned()), here));
            at += length;
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push((Token::Sign(sign), here));
            at += sign.len();
        } else {
            return error(here, format!("Unexpected character '{c}'."));
        }
    }
    tokens.push((Token::End, base + source.len()));
    Ok(tokens)
}

fn number(rest: &str, at: usize) -> Parse<(Token, usize)> {
    let bytes = rest.as_bytes();
    if rest.starts_with("0x") || rest.starts_with("0X") {
        let length = 2 + rest[2..]
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(rest.len() - 2);
        return match i64::from_str_radix(&rest[2..length], 16) {
            Ok(value) => Ok((Token::Int(value), length)),
            Err(_) => error(at, "Invalid number."),
        };
    }
    let digits = |from: usize| {
        from + bytes[from..]
            .iter()
            .take_while(|b| b.is_ascii_digit() || **b == b'_')
            .count()
    };
    let mut end = digits(0);
    let mut double = false;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        double = true;
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            double = true;
            end = digits(end + 1 + sign);
        }
    }
    let text = rest[..end].replace('_', "");
    let suffix = bytes.get(end).map(u8::to_ascii_lowercase);
    match suffix {
        Some(b'd' | b'f' | b'm') => {
            double = true;
            end += 1;
        }
        Some(b'l') => end += 1,
        _ => {}
    }
    let token = if double {
        text.parse().ok().map(Token::Double)
    } else {
        text.parse().ok().map(Token::Int)
    };
    match token {
        Some(token) => Ok((token, end)),
        None => error(at, "Number is too large."),
    }
}

/// Decodes the escape sequence at the start; returns its length too.
fn unescape(rest: &str, at: usize) -> Parse<(char, usize)> {
    let Some(c) = rest[1..].chars().next() else {
        return error(at, "Text is not closed.");
    };
    let plain = match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '0' => '\0',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        '\\' | '"' | '\'' => c,
        'u' | 'x' => {
            let hex = rest[2..]
                .bytes()
                .take(4)
                .take_while(u8::is_ascii_hexdigit)
                .count();
            let code = u32::from_str_radix(&rest[2..2 + hex], 16)
                .ok()
                .and_then(char::from_u32);
            return match code {
                Some(code) if c == 'x' || hex == 4 => Ok((code, 2 + hex)),
                _ => error(at, "Invalid escape sequence."),
            };
        }
        _ => return error(at, format!("Unrecognized escape sequence '\\{c}'.")),
    };
    Ok((plain, 2))
}

fn text(rest: &str, at: usize) -> Parse<(Token, usize)> {
    let prefix = rest.find('"').unwrap_or(0);
    let verbatim = rest[..prefix].contains('@');
    let interpolated = rest[..prefix].contains('$');
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut i = prefix + 1;
    loop {
        let Some(c) = rest[i..].chars().next() else {
            return error(at, "Text is not closed.");
        };
        match c {
            '"' if verbatim && rest[i..].starts_with("\"\"") => {
                plain.push('"');
                i += 2;
            }
            '"' => {
                let token = if interpolated {
                    pieces.push(Piece::Text(plain));
                    Token::Interpolated(pieces)
                } else {
                    Token::Text(plain)
                };
                return Ok((token, i + 1));
            }
            '\\' if !verbatim => {
                let (value, length) = unescape(&rest[i..], at + i)?;
                plain.push(value);
                i += length;
            }
            '{' | '}' if interpolated && rest[i + 1..].starts_with(c) => {
                plain.push(c);
                i += 2;
            }
            '{' if interpolated => {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                let (hole, length) = hole(&rest[i + 1..], at + i + 1)?;
                pieces.push(hole);
                i += length + 2;
            }
            '}' if interpolated => {
                return error(at + i, "'}' must be doubled in an interpolated text.");
            }
            '\n' if !verbatim => return error(at + i, "Newline in text."),
            _ => {
                plain.push(c);
                i += c.len_utf8();
            }
        }
    }
}

fn hole(rest: &str, at: usize) -> Parse<(Piece, usize)> {
    let mut depth = 0;
    let mut quoted = false;
    let mut colon = None;
    let mut question = 0;
    for (i, c) in rest.char_indices() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            '}' if depth == 0 => {
                let end = colon.unwrap_or(i);
                let format = colon.map(|colon| rest[colon + 1..i].to_owned());
                return Ok((Piece::Hole(rest[..end].to_owned(), at, format), i));
            }
            ')' | ']' | '}' => depth -= 1,
            '?' if depth == 0 => question += 1,
            ':' if depth == 0 && question == 0 && colon.is_none() => colon = Some(i),
            _ => {}
        }
    }
    error(at, "A hole of the interpolated text is not closed.")
}

pub(super) struct Parser {
    tokens: Vec<(Token, usize)>,
    index: usize,
    nesting: usize,
    /// Declarations by `out`, which belong before the statement that they stand in.
    declared: Vec<Stmt>,
    /// Whether this is the text of a `TryParse`, which is written down twice: in each other they would grow without bound.
    is_tried: bool,
}

/// Reads the inside of `@(...)`.
pub(super) fn parse_expression(source: &str, base: usize) -> Parse<Expr> {
    let mut parser = Parser {
        tokens: lex(source, base)?,
        index: 0,
        nesting: 0,
        declared: Vec::new(),
        is_tried: false,
    };
    let expr = parser.expr()?;
    parser.end()?;
    Ok(expr)
}

/// Reads the inside of `@{...}`.
pub(super) fn parse_statements(source: &str, base: usize) -> Parse<Vec<Stmt>> {
    let mut parser = Parser {
        tokens: lex(source, base)?,
        index: 0,
        nesting: 0,
        declared: Vec::new(),
        is_tried: false,
    };
    let mut statements = Vec::new();
    while *parser.peek() != Token::End {
        let statement = parser.statement()?;
        statements.append(&mut parser.declared);
        statements.push(statement);
    }
    Ok(statements)
}

fn precedence(sign: &str) -> Option<u8> {
    Some(match sign {
        "??" => 1,
        "||" => 2,
        "&&" => 3,
        "|" => 4,
        "^" => 5,
        "&" => 6,
        "==" | "!=" => 7,
        "<" | ">" | "<=" | ">=" => 8,
        "+" | "-" => 9,
        "*" | "/" | "%" => 10,
        _ => return None,
    })
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.index].0
    }

    fn at(&self) -> usize {
        self.tokens[self.index].1
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.index].0.clone();
        if self.index + 1 < self.tokens.len() {
            self.index += 1;
        }
        token
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(found) if *found == sign)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Name(name) if name == word)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        if found {
            self.next();
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.next();
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Parse<()> {
        if self.take(sign) {
            Ok(())
        } else {
            self.unexpected(&format!("'{sign}' expected"))
        }
    }

    fn unexpected<T>(&self, wanted: &str) -> Parse<T> {
        let found = match self.peek() {
            Token::End => "the end".to_owned(),
            Token::Sign(sign) => format!("'{sign}'"),
            Token::Name(name) => format!("'{name}'"),
            Token::Int(_) | Token::Double(_) => "a number".to_owned(),
            Token::Char(_) => "a character".to_owned(),
            Token::Text(_) | Token::Interpolated(_) => "a text".to_owned(),
        };
        error(self.at(), format!("{wanted}, but found {found}."))
    }

    fn end(&self) -> Parse<()> {
        if let Some(declared) = self.declared.first() {
            return Err(CompileError {
                at: declared.at,
                message: "'out' can declare a variable only in '@{...}'.".to_owned(),
            });
        }
        if *self.peek() == Token::End {
            Ok(())
        } else {
            self.unexpected("End of the expression expected")
        }
    }

    fn name(&mut self) -> Parse<String> {
        match self.peek() {
            Token::Name(name) => {
                let name = name.clone();
                self.next();
                Ok(name)
            }
            _ => self.unexpected("Name expected"),
        }
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        if self.nesting >= DEPTH_LIMIT {
            return error(self.at(), "Expression is nested too deeply.");
        }
        self.nesting += 1;
        let result = read(self);
        self.nesting -= 1;
        result
    }

    fn make(&self, at: usize, depth: usize, kind: Kind) -> Parse<Expr> {
        if depth >= DEPTH_LIMIT {
            return error(at, "Expression is nested too deeply.");
        }
        Ok(Expr {
            at,
            depth: depth + 1,
            kind,
        })
    }

    fn statement(&mut self) -> Parse<Stmt> {
        self.nested(Self::statement_inner)
    }

    fn block(&mut self) -> Parse<Vec<Stmt>> {
        self.expect("{")?;
        let mut statements = Vec::new();
        while !self.take("}") {
            if *self.peek() == Token::End {
                return self.unexpected("'}' expected");
            }
            let before = self.declared.len();
            let statement = self.statement()?;
            statements.extend(self.declared.drain(before..));
            statements.push(statement);
        }
        Ok(statements)
    }

    fn statement_inner(&mut self) -> Parse<Stmt> {
        let at = self.at();
        let kind = if self.is("{") {
            StmtKind::Block(self.block()?)
        } else if self.take(";") {
            StmtKind::Block(Vec::new())
        } else if self.take_word("return") {
            let value = self.expr()?;
            self.expect(";")?;
            StmtKind::Return(value)
        } else if self.take_word("throw") {
            let value = if self.is(";") {
                None
            } else {
                Some(self.expr()?)
            };
            self.expect(";")?;
            StmtKind::Throw(value)
        } else if self.take_word("break") {
            self.expect(";")?;
            StmtKind::Break
        } else if self.take_word("continue") {
            self.expect(";")?;
            StmtKind::Continue
        } else if self.take_word("if") {
            self.expect("(")?;
            let condition = self.expr()?;
            self.expect(")")?;
            let then = self.statement()?;
            let otherwise = if self.take_word("else") {
                Some(Box::new(self.statement()?))
            } else {
                None
            };
            StmtKind::If(condition, Box::new(then), otherwise)
        } else if self.take_word("while") {
            self.expect("(")?;
            let condition = self.expr()?;
            self.expect(")")?;
            StmtKind::While(condition, Box::new(self.statement()?))
        } else if self.take_word("foreach") {
            self.expect("(")?;
            let ty = self.declared_type()?;
            let name = self.name()?;
            if !self.take_word("in") {
                return self.unexpected("'in' expected");
            }
            let items = self.expr()?;
            self.expect(")")?;
            StmtKind::Foreach(ty, name, items, Box::new(self.statement()?))
        } else if self.take_word("for") {
            self.for_statement()?
        } else if self.take_word("try") {
            let body = self.block()?;
            let mut catch = None;
            if self.take_word("catch") {
                let mut variable = None;
                if self.take("(") {
                    self.type_name()?;
                    if !self.is(")") {
                        variable = Some(self.name()?);
                    }
                    self.expect(")")?;
                }
                catch = Some((variable, self.block()?));
            }
            let finally = if self.take_word("finally") {
                self.block()?
            } else {
                Vec::new()
            };
            StmtKind::Try(body, catch, finally)
        } else {
            let kind = self.simple()?;
            self.expect(";")?;
            kind
        };
        Ok(Stmt { at, kind })
    }

    /// A declaration or an expression, without its semicolon.
    fn simple(&mut self) -> Parse<StmtKind> {
        let start = self.index;
        if matches!(self.peek(), Token::Name(name) if !matches!(name.as_str(), "new" | "context" | "await"))
            && let Ok(ty) = self.declared_type()
            && matches!(self.peek(), Token::Name(name) if !matches!(name.as_str(), "is" | "as"))
        {
            let name = self.name()?;
            let value = if self.take("=") {
                Some(self.expr()?)
            } else {
                None
            };
            return Ok(StmtKind::Var(ty, name, value));
        }
        self.index = start;
        Ok(StmtKind::Expr(self.expr()?))
    }

    fn for_statement(&mut self) -> Parse<StmtKind> {
        self.expect("(")?;
        let mut first = Vec::new();
        if !self.is(";") {
            let at = self.at();
            first.push(Stmt {
                at,
                kind: self.simple()?,
            });
        }
        self.expect(";")?;
        let condition = if self.is(";") {
            None
        } else {
            Some(self.expr()?)
        };
        self.expect(";")?;
        let mut steps = Vec::new();
        while !self.is(")") {
            steps.push(self.expr()?);
            if !self.take(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(StmtKind::For(
            first,
            condition,
            steps,
            Box::new(self.statement()?),
        ))
    }

    /// `None` for `var`.
    fn declared_type(&mut self) -> Parse<Option<TypeName>> {
        if self.take_word("var") {
            Ok(None)
        } else {
            self.type_name().map(Some)
        }
    }

    fn type_name(&mut self) -> Parse<TypeName> {
        self.nested(Self::type_name_inner)
    }

    fn type_name_inner(&mut self) -> Parse<TypeName> {
        let at = self.at();
        let mut name = self.name()?;
        while self.is(".") {
            self.next();
            name = self.name()?;
        }
        let mut arguments = Vec::new();
        if self.take("<") {
            loop {
                arguments.push(self.type_name()?);
                if !self.take(",") {
                    break;
                }
            }
            self.expect(">")?;
        }
        self.take("?");
        let mut rank = 0;
        while self.is("[") && matches!(self.tokens.get(self.index + 1), Some((Token::Sign("]"), _)))
        {
            self.next();
            self.next();
            rank += 1;
        }
        Ok(TypeName {
            at,
            name,
            arguments,
            rank,
        })
    }

    pub(super) fn expr(&mut self) -> Parse<Expr> {
        self.nested(Self::expr_inner)
    }

    fn expr_inner(&mut self) -> Parse<Expr> {
        if let Some(lambda) = self.lambda()? {
            return Ok(lambda);
        }
        let condition = self.binary(0)?;
        let at = self.at();
        if self.take("?") {
            let then = self.expr()?;
            self.expect(":")?;
            let otherwise = self.expr()?;
            let depth = condition.depth.max(then.depth).max(otherwise.depth);
            return self.make(
                at,
                depth,
                Kind::Ternary(Box::new(condition), Box::new(then), Box::new(otherwise)),
            );
        }
        for sign in ["=", "+=", "-=", "*=", "/=", "??="] {
            if self.take(sign) {
                let value = self.expr()?;
                let depth = condition.depth.max(value.depth);
                return self.make(
                    at,
                    depth,
                    Kind::Assign(sign, Box::new(condition), Box::new(value)),
                );
            }
        }
        Ok(condition)
    }

    fn lambda(&mut self) -> Parse<Option<Expr>> {
        let at = self.at();
        let start = self.index;
        let mut names = Vec::new();
        if let Token::Name(name) = self.peek().clone() {
            self.next();
            names.push(name);
        } else if self.take("(") {
            while let Token::Name(name) = self.peek().clone() {
                self.next();
                names.push(name);
                if !self.take(",") {
                    break;
                }
            }
            if !self.take(")") {
                self.index = start;
                return Ok(None);
            }
        }
        if !self.take("=>") {
            self.index = start;
            return Ok(None);
        }
        let (depth, body) = if self.is("{") {
            (0, Body::Block(self.block()?))
        } else {
            let body = self.expr()?;
            (body.depth, Body::Expr(body))
        };
        self.make(at, depth, Kind::Lambda(names, Box::new(body)))
            .map(Some)
    }

    fn binary(&mut self, least: u8) -> Parse<Expr> {
        let mut left = self.unary()?;
        loop {
            let at = self.at();
            if least <= 8 && (self.is_word("is") || self.is_word("as")) {
                let is = self.take_word("is");
                if !is {
                    self.next();
                }
                if is && self.is_word("not") {
                    self.next();
                    if !self.take_word("null") {
                        return self.unexpected("'null' expected");
                    }
                    let null = self.make(at, 0, Kind::Literal(Data::Null))?;
                    left = self.make(
                        at,
                        left.depth,
                        Kind::Binary("!=", Box::new(left), Box::new(null)),
                    )?;
                    continue;
                }
                if is && self.take_word("null") {
                    let null = self.make(at, 0, Kind::Literal(Data::Null))?;
                    left = self.make(
                        at,
                        left.depth,
                        Kind::Binary("==", Box::new(left), Box::new(null)),
                    )?;
                    continue;
                }
                let ty = self.type_name()?;
                let kind = if is {
                    Kind::Is(Box::new(left.clone()), ty)
                } else {
                    Kind::As(Box::new(left.clone()), ty)
                };
                left = self.make(at, left.depth, kind)?;
                continue;
            }
            let Token::Sign(sign) = *self.peek() else {
                return Ok(left);
            };
            let Some(level) = precedence(sign).filter(|level| *level >= least.max(1)) else {
                return Ok(left);
            };
            self.next();
            // `??` groups to the right.
            let right =
                self.nested(|parser| parser.binary(if sign == "??" { level } else { level + 1 }))?;
            let depth = left.depth.max(right.depth);
            left = self.make(
                at,
                depth,
                Kind::Binary(sign, Box::new(left), Box::new(right)),
            )?;
        }
    }

    fn unary(&mut self) -> Parse<Expr> {
        self.nested(Self::unary_inner)
    }

    fn unary_inner(&mut self) -> Parse<Expr> {
        let at = self.at();
        for sign in ["!", "-", "+"] {
            if self.take(sign) {
                let operand = self.unary()?;
                return self.make(at, operand.depth, Kind::Unary(sign, Box::new(operand)));
            }
        }
        for (sign, assign) in [("++", "+="), ("--", "-=")] {
            if self.take(sign) {
                let target = self.unary()?;
                return self.increment(at, assign, target);
            }
        }
        if self.is("(")
            && let Some(ty) = self.cast()
        {
            let operand = self.unary()?;
            return self.make(at, operand.depth, Kind::Cast(ty, Box::new(operand)));
        }
        self.postfix()
    }

    fn increment(&self, at: usize, assign: &'static str, target: Expr) -> Parse<Expr> {
        let one = self.make(at, 0, Kind::Literal(Data::Int(1)))?;
        self.make(
            at,
            target.depth,
            Kind::Assign(assign, Box::new(target), Box::new(one)),
        )
    }

    /// A parenthesised type followed by something that can be cast; else the position is left as it was.
    fn cast(&mut self) -> Option<TypeName> {
        let start = self.index;
        self.next();
        if let Ok(ty) = self.type_name()
            && self.take(")")
        {
            let keyword = matches!(
                ty.name.as_str(),
                "string"
                    | "int"
                    | "long"
                    | "bool"
                    | "double"
                    | "float"
                    | "decimal"
                    | "object"
                    | "char"
                    | "byte"
                    | "short"
                    | "uint"
                    | "ulong"
            );
            let castable = match self.peek() {
                Token::Name(name) => !matches!(name.as_str(), "is" | "as"),
                Token::Int(_)
                | Token::Double(_)
                | Token::Char(_)
                | Token::Text(_)
                | Token::Interpolated(_) => true,
                Token::Sign("(" | "!") => true,
                Token::Sign("-" | "+") => keyword,
                Token::Sign(_) | Token::End => false,
            };
            // `(a)(b)` is not a call in any expression of the subset, but `(x) - 1` is a subtraction.
            if castable {
                return Some(ty);
            }
        }
        self.index = start;
        None
    }

    fn arguments(&mut self, close: &str) -> Parse<Vec<Expr>> {
        let mut arguments = Vec::new();
        while !self.is(close) {
            // Named arguments: `preserveContent: true`.
            if matches!(self.peek(), Token::Name(_))
                && matches!(self.tokens.get(self.index + 1), Some((Token::Sign(":"), _)))
            {
                self.next();
                self.next();
            }
            arguments.push(self.expr()?);
            if !self.take(",") {
                break;
            }
        }
        self.expect(close)?;
        Ok(arguments)
    }

    fn is_out(&self) -> bool {
        matches!(self.tokens.get(self.index + 1), Some((Token::Name(name), _)) if name == "out")
    }

    /// `text.TryParseJwt(out token)`: the same as `(token = text.AsJwt()) != null`.
    fn parsed_out(&mut self, at: usize, callee: Expr) -> Parse<Expr> {
        let Kind::Member(text, method, _) = callee.kind else {
            return self.unexpected("'out' is not valid here");
        };
        let (conversion, ty) = match method.as_str() {
            "TryParseJwt" => ("AsJwt", "Jwt"),
            "TryParseBasic" => ("AsBasic", "BasicAuthCredentials"),
            _ => return self.unexpected("'out' is not valid here"),
        };
        self.expect("(")?;
        let (place, name) = self.out_variable(ty)?;
        let depth = text.depth;
        let method = Kind::Member(text, conversion.to_owned(), Vec::new());
        let method = self.make(at, depth, method)?;
        let value = self.make(at, method.depth, Kind::Call(Box::new(method), Vec::new()))?;
        let target = self.make(place, 0, Kind::Name(name))?;
        let depth = value.depth;
        let assigned = Kind::Assign("=", Box::new(target), Box::new(value));
        let assigned = self.make(at, depth, assigned)?;
        let null = self.make(at, 0, Kind::Literal(Data::Null))?;
        let depth = assigned.depth;
        self.make(
            at,
            depth,
            Kind::Binary("!=", Box::new(assigned), Box::new(null)),
        )
    }

    /// `out name)`, `out var name)` or `out Type name)`: where it stands, and the name.
    fn out_variable(&mut self, ty: &str) -> Parse<(usize, String)> {
        if !self.take_word("out") {
            return self.unexpected("'out' expected");
        }
        let declares = self.take_word("var")
            || (matches!(self.tokens.get(self.index + 1), Some((Token::Name(_), _)))
                && self.take_word(ty));
        let place = self.at();
        let name = self.name()?;
        self.expect(")")?;
        if declares {
            let ty = TypeName {
                at: place,
                name: ty.to_owned(),
                arguments: Vec::new(),
                rank: 0,
            };
            self.declared.push(Stmt {
                at: place,
                kind: StmtKind::Var(Some(ty), name.clone(), None),
            });
        }
        Ok((place, name))
    }

    fn assigned(&self, at: usize, name: &str, value: Expr) -> Parse<Expr> {
        let target = self.make(at, 0, Kind::Name(name.to_owned()))?;
        let depth = value.depth;
        self.make(
            at,
            depth,
            Kind::Assign("=", Box::new(target), Box::new(value)),
        )
    }

    fn static_member(&self, at: usize, class: &str, name: &str) -> Parse<Expr> {
        let class = self.make(at, 0, Kind::Name(class.to_owned()))?;
        let depth = class.depth;
        let member = Kind::Member(Box::new(class), name.to_owned(), Vec::new());
        self.make(at, depth, member)
    }

    fn called(&self, at: usize, callee: Expr, arguments: Vec<Expr>) -> Parse<Expr> {
        let deepest = arguments.iter().map(|argument| argument.depth).max();
        let depth = callee.depth.max(deepest.unwrap_or(0));
        self.make(at, depth, Kind::Call(Box::new(callee), arguments))
    }

    fn compared(&self, at: usize, sign: &'static str, left: Expr, right: Expr) -> Parse<Expr> {
        let depth = left.depth.max(right.depth);
        self.make(
            at,
            depth,
            Kind::Binary(sign, Box::new(left), Box::new(right)),
        )
    }

    /// `int.TryParse(text, out n)`: whether the text has the form, and then its value, else the type's default one. The text is
    /// looked at twice, which no expression can tell.
    fn tried_parse(&mut self, at: usize, class: &str) -> Parse<Expr> {
        let (class, pattern, zero) = match class {
            "int" | "long" => ("int", r"^\s*[-+]?[0-9]{1,18}\s*$", Some(Data::Int(0))),
            "double" => (
                "double",
                r"^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?\s*$",
                Some(Data::Double(0.0)),
            ),
            "bool" => ("bool", r"^\s*(?i:true|false)\s*$", Some(Data::Bool(false))),
            _ => (
                "Guid",
                r"^\s*[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\s*$",
                None,
            ),
        };
        if std::mem::replace(&mut self.is_tried, true) {
            return self.unexpected("'TryParse' cannot stand in the text of another");
        }
        self.expect("(")?;
        let text = self.expr()?;
        self.is_tried = false;
        self.expect(",")?;
        let (place, name) = self.out_variable(class)?;
        let nothing = self.make(at, 0, Kind::Literal(Data::from("")))?;
        let text = self.compared(at, "??", text, nothing)?;
        let pattern = self.make(at, 0, Kind::Literal(Data::from(pattern)))?;
        let is_match = self.static_member(at, "Regex", "IsMatch")?;
        let fits = self.called(at, is_match, vec![text.clone(), pattern])?;
        let trim = Kind::Member(Box::new(text), "Trim".to_owned(), Vec::new());
        let trim = self.make(at, fits.depth, trim)?;
        let trimmed = self.called(at, trim, Vec::new())?;
        let parse = self.static_member(at, class, "Parse")?;
        let value = self.called(at, parse, vec![trimmed])?;
        let value = self.assigned(place, &name, value)?;
        let itself = self.make(place, 0, Kind::Name(name.clone()))?;
        let succeeded = self.compared(at, "==", value, itself)?;
        let zero = match zero {
            Some(zero) => self.make(at, 0, Kind::Literal(zero))?,
            None => self.static_member(at, class, "Empty")?,
        };
        let default = self.assigned(place, &name, zero.clone())?;
        let failed = self.compared(at, "!=", default, zero)?;
        let depth = fits.depth.max(succeeded.depth).max(failed.depth);
        let choice = Kind::Ternary(Box::new(fits), Box::new(succeeded), Box::new(failed));
        self.make(at, depth, choice)
    }

    /// `new { id = 1, context.RequestId }`: an object of JSON with these members, which is all that can be done with one.
    fn anonymous(&mut self, at: usize) -> Parse<Expr> {
        self.expect("{")?;
        let mut members = Vec::new();
        let mut depth = 0;
        while !self.is("}") {
            let place = self.at();
            let is_named = matches!(self.peek(), Token::Name(_))
                && matches!(self.tokens.get(self.index + 1), Some((Token::Sign("="), _)));
            let (name, value) = if is_named {
                let name = self.name()?;
                self.expect("=")?;
                (name, self.expr()?)
            } else {
                let value = self.expr()?;
                let name = match &value.kind {
                    Kind::Name(name) | Kind::Member(_, name, _) => name.clone(),
                    _ => return self.unexpected("A name for the member expected"),
                };
                (name, value)
            };
            depth = depth.max(value.depth);
            let name = self.make(place, 0, Kind::Literal(Data::from(name)))?;
            members.push(Initializer::Entry(name, value));
            if !self.take(",") {
                break;
            }
        }
        self.expect("}")?;
        let ty = TypeName {
            at,
            name: "JObject".to_owned(),
            arguments: Vec::new(),
            rank: 0,
        };
        self.make(at, depth, Kind::New(ty, Vec::new(), members))
    }

    fn postfix(&mut self) -> Parse<Expr> {
        let first = self.primary()?;
        self.postfix_of(first)
    }

    fn postfix_of(&mut self, first: Expr) -> Parse<Expr> {
        let mut left = first;
        loop {
            let at = self.at();
            if self.take(".") {
                let at = self.at();
                let name = self.name()?;
                let types = self.type_arguments();
                left = self.make(at, left.depth, Kind::Member(Box::new(left), name, types))?;
            } else if self.is("(")
                && let Kind::Member(class, method, _) = &left.kind
                && method == "TryParse"
                && let Kind::Name(class) = &class.kind
                && matches!(class.as_str(), "int" | "long" | "double" | "bool" | "Guid")
            {
                let class = class.clone();
                left = self.tried_parse(at, &class)?;
            } else if self.is("(") && self.is_out() {
                left = self.parsed_out(at, left)?;
            } else if self.take("(") {
                let arguments = self.arguments(")")?;
                let depth = arguments
                    .iter()
                    .map(|argument| argument.depth)
                    .max()
                    .unwrap_or(0)
                    .max(left.depth);
                left = self.make(at, depth, Kind::Call(Box::new(left), arguments))?;
            } else if self.take("[") {
                let index = self.expr()?;
                self.expect("]")?;
                left = self.make(
                    at,
                    left.depth.max(index.depth),
                    Kind::Index(Box::new(left), Box::new(index)),
                )?;
            } else if self.is("?.") || self.is("?[") {
                let member = self.is("?.");
                self.next();
                let receiver = self.make(at, 0, Kind::Receiver)?;
                let start = if member {
                    let at = self.at();
                    let name = self.name()?;
                    let types = self.type_arguments();
                    self.make(
                        at,
                        receiver.depth,
                        Kind::Member(Box::new(receiver), name, types),
                    )?
                } else {
                    let index = self.expr()?;
                    self.expect("]")?;
                    self.make(
                        at,
                        index.depth,
                        Kind::Index(Box::new(receiver), Box::new(index)),
                    )?
                };
                let rest = self.nested(|parser| parser.postfix_of(start))?;
                return self.make(
                    at,
                    left.depth.max(rest.depth),
                    Kind::Conditional(Box::new(left), Box::new(rest)),
                );
            } else if self.take("++") {
                left = self.increment(at, "+=", left)?;
            } else if self.take("--") {
                left = self.increment(at, "-=", left)?;
            } else {
                return Ok(left);
            }
        }
    }

    /// `<T>` before a call; empty when `<` is a comparison.
    fn type_arguments(&mut self) -> Vec<TypeName> {
        let start = self.index;
        let mut types = Vec::new();
        if self.take("<") {
            while let Ok(ty) = self.type_name() {
                types.push(ty);
                if !self.take(",") {
                    break;
                }
            }
            if self.take(">") && self.is("(") {
                return types;
            }
        }
        self.index = start;
        Vec::new()
    }

    fn primary(&mut self) -> Parse<Expr> {
        let at = self.at();
        let kind = match self.peek().clone() {
            Token::Int(value) => Kind::Literal(Data::Int(value)),
            Token::Double(value) => Kind::Literal(Data::Double(value)),
            Token::Char(value) => Kind::Literal(Data::Char(value)),
            Token::Text(value) => Kind::Literal(Data::from(value)),
            Token::Interpolated(pieces) => {
                self.next();
                return self.interpolated(at, pieces);
            }
            Token::Name(name) => match name.as_str() {
                "true" => Kind::Literal(Data::Bool(true)),
                "false" => Kind::Literal(Data::Bool(false)),
                "null" => Kind::Literal(Data::Null),
                "new" => return self.new_object(at),
                _ => Kind::Name(name),
            },
            Token::Sign("(") => {
                self.next();
                let inner = self.expr()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Sign(_) | Token::End => return self.unexpected("Expression expected"),
        };
        self.next();
        self.make(at, 0, kind)
    }

    fn interpolated(&mut self, at: usize, pieces: Vec<Piece>) -> Parse<Expr> {
        let mut parts = Vec::new();
        let mut depth = 0;
        for piece in pieces {
            match piece {
                Piece::Text(text) => parts.push(Ok(text)),
                Piece::Hole(source, base, format) => {
                    let mut parser = Self {
                        tokens: lex(&source, base)?,
                        index: 0,
                        nesting: self.nesting + 1,
                        declared: Vec::new(),
                        is_tried: self.is_tried,
                    };
                    let hole = parser.expr()?;
                    parser.end()?;
                    depth = depth.max(hole.depth);
                    parts.push(Err((hole, format)));
                }
            }
        }
        self.make(at, depth, Kind::Interpolated(parts))
    }

    fn new_object(&mut self, at: usize) -> Parse<Expr> {
        self.next();
        if self.take("[") {
            self.expect("]")?;
            let items = self.items()?;
            return self.array(at, None, None, items);
        }
        if self.is("{") {
            return self.anonymous(at);
        }
        let ty = self.type_name()?;
        if ty.rank > 0 {
            let items = self.items()?;
            return self.array(
                at,
                Some(TypeName {
                    rank: ty.rank - 1,
                    ..ty
                }),
                None,
                items,
            );
        }
        if self.take("[") {
            let size = self.expr()?;
            self.expect("]")?;
            return self.array(at, Some(ty), Some(Box::new(size)), Vec::new());
        }
        let arguments = if self.take("(") {
            self.arguments(")")?
        } else {
            Vec::new()
        };
        let mut initializers = Vec::new();
        let mut depth = arguments
            .iter()
            .map(|argument| argument.depth)
            .max()
            .unwrap_or(0);
        if self.take("{") {
            while !self.is("}") {
                let initializer = if self.take("{") {
                    let mut pair = self.arguments("}")?.into_iter();
                    match (pair.next(), pair.next(), pair.next()) {
                        (Some(key), Some(value), None) => Initializer::Entry(key, value),
                        _ => return self.unexpected("A key and a value expected"),
                    }
                } else if self.take("[") {
                    let key = self.expr()?;
                    self.expect("]")?;
                    self.expect("=")?;
                    Initializer::Entry(key, self.expr()?)
                } else {
                    Initializer::Item(self.expr()?)
                };
                depth = depth.max(match &initializer {
                    Initializer::Item(item) => item.depth,
                    Initializer::Entry(key, value) => key.depth.max(value.depth),
                });
                initializers.push(initializer);
                if !self.take(",") {
                    break;
                }
            }
            self.expect("}")?;
        }
        self.make(at, depth, Kind::New(ty, arguments, initializers))
    }

    fn items(&mut self) -> Parse<Vec<Expr>> {
        self.expect("{")?;
        self.arguments("}")
    }

    fn array(
        &self,
        at: usize,
        ty: Option<TypeName>,
        size: Option<Box<Expr>>,
        items: Vec<Expr>,
    ) -> Parse<Expr> {
        let depth = items.iter().map(|item| item.depth).max().unwrap_or(0);
        self.make(at, depth, Kind::Array(ty, size, items))
    }
}
