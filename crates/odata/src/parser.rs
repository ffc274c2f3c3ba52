//! Tokens to expressions, by recursive descent with a limit on depth.

use crate::{
    Direction, Error, Expr, Field, Function, Literal, Op,
    lexer::{At, Token, tokens},
};

/// Longest text that is read.
pub const MAX_CHARS: usize = 8192;
/// Deepest nesting that is read; also the limit of what later recursion over the tree has to bear.
pub const MAX_DEPTH: usize = 64;

/// Reads a `$filter`.
///
/// # Errors
/// What is wrong and where.
pub fn parse_filter(text: &str) -> Result<Expr, Error> {
    let mut parser = Parser::new(text)?;
    let expr = parser.or(0)?;
    parser.end()?;
    Ok(expr)
}

/// Reads an `$orderby`: `callCountTotal desc, name`.
///
/// # Errors
/// What is wrong and where.
pub fn parse_order_by(text: &str) -> Result<Vec<(Field, Direction)>, Error> {
    let mut parser = Parser::new(text)?;
    let mut out = Vec::new();
    loop {
        let field = parser.field()?;
        let direction = if parser.keyword("desc") {
            Direction::Descending
        } else {
            parser.keyword("asc");
            Direction::Ascending
        };
        out.push((field, direction));
        if !parser.take(&Token::Comma) {
            parser.end()?;
            return Ok(out);
        }
    }
}

struct Parser {
    tokens: Vec<At>,
    at: usize,
    end: usize,
}

impl Parser {
    fn new(text: &str) -> Result<Self, Error> {
        let count = text.chars().count();
        if count > MAX_CHARS {
            return Err(Error {
                position: MAX_CHARS,
                message: format!("longer than {MAX_CHARS} characters"),
            });
        }
        Ok(Self {
            tokens: tokens(text)?,
            at: 0,
            end: count + 1,
        })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|at| &at.token)
    }

    fn position(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |at| at.position)
    }

    fn wrong<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error {
            position: self.position(),
            message: message.into(),
        })
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, token: &Token, what: &str) -> Result<(), Error> {
        if self.take(token) {
            Ok(())
        } else {
            self.wrong(format!("expected {what}"))
        }
    }

    /// Takes a keyword, in any case.
    fn keyword(&mut self, keyword: &str) -> bool {
        let found =
            matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(found);
        found
    }

    fn end(&self) -> Result<(), Error> {
        if self.at == self.tokens.len() {
            Ok(())
        } else {
            self.wrong("expected the end of the expression")
        }
    }

    fn or(&mut self, depth: usize) -> Result<Expr, Error> {
        let mut left = self.and(depth)?;
        let mut chained = depth;
        while self.keyword("or") {
            // A long chain is a deep tree.
            chained += 1;
            left = Expr::Or(Box::new(left), Box::new(self.and(chained)?));
        }
        Ok(left)
    }

    fn and(&mut self, depth: usize) -> Result<Expr, Error> {
        let mut left = self.not(depth)?;
        let mut chained = depth;
        while self.keyword("and") {
            chained += 1;
            left = Expr::And(Box::new(left), Box::new(self.not(chained)?));
        }
        Ok(left)
    }

    fn not(&mut self, depth: usize) -> Result<Expr, Error> {
        if depth > MAX_DEPTH {
            return self.wrong(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        if self.keyword("not") {
            return Ok(Expr::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.take(&Token::Open) {
            let inner = self.or(depth + 1)?;
            self.need(&Token::Close, "')'")?;
            return Ok(inner);
        }
        self.leaf(depth)
    }

    fn leaf(&mut self, depth: usize) -> Result<Expr, Error> {
        if let (Some(Token::Word(word)), Some(Token::Open)) = (
            self.peek(),
            self.tokens.get(self.at + 1).map(|at| &at.token),
        ) {
            let function = match word.to_ascii_lowercase().as_str() {
                "contains" => Function::Contains,
                "substringof" => Function::SubstringOf,
                "startswith" => Function::StartsWith,
                "endswith" => Function::EndsWith,
                other => {
                    let message = format!(
                        "'{other}' is not one of contains, substringof, startswith, endswith"
                    );
                    return self.wrong(message);
                }
            };
            self.at += 2;
            return self.call(function);
        }
        let position = self.position();
        let mut field = self.field()?;
        let quantifier = field
            .path
            .last()
            .map(|last| last.to_ascii_lowercase())
            .filter(|_| field.path.len() > 1);
        if let (Some(quantifier @ ("any" | "all")), true) =
            (quantifier.as_deref(), self.take(&Token::Open))
        {
            field.path.pop();
            return self.lambda(field, quantifier == "all", depth);
        }
        let op = match self.peek() {
            Some(Token::Word(word)) => match word.to_ascii_lowercase().as_str() {
                "eq" => Op::Eq,
                "ne" => Op::Ne,
                "gt" => Op::Gt,
                "ge" => Op::Ge,
                "lt" => Op::Lt,
                "le" => Op::Le,
                "and" | "or" => return Ok(Expr::Bare(field)),
                _ => return self.wrong("expected one of eq, ne, gt, ge, lt, le"),
            },
            None | Some(Token::Close) => return Ok(Expr::Bare(Field { position, ..field })),
            Some(_) => return self.wrong("expected one of eq, ne, gt, ge, lt, le"),
        };
        self.at += 1;
        Ok(Expr::Compare {
            field,
            op,
            value: self.literal()?,
        })
    }

    fn call(&mut self, function: Function) -> Result<Expr, Error> {
        let (field, value) = if function == Function::SubstringOf {
            let value = self.text()?;
            self.need(&Token::Comma, "','")?;
            (self.field()?, value)
        } else {
            let field = self.field()?;
            self.need(&Token::Comma, "','")?;
            (field, self.text()?)
        };
        self.need(&Token::Close, "')'")?;
        // `contains(f,'x') eq true` is the same in clients that spell it out.
        let at = self.at;
        if self.keyword("eq") && !self.keyword("true") {
            self.at = at;
        }
        Ok(Expr::Call {
            function,
            field,
            value,
        })
    }

    fn lambda(&mut self, field: Field, all: bool, depth: usize) -> Result<Expr, Error> {
        if !all && self.take(&Token::Close) {
            return Ok(Expr::Any {
                field,
                variable: String::new(),
                body: None,
            });
        }
        let Some(Token::Word(variable)) = self.peek().cloned() else {
            return self.wrong("expected the name of the element");
        };
        self.at += 1;
        self.need(&Token::Colon, "':'")?;
        let body = Box::new(self.or(depth + 1)?);
        self.need(&Token::Close, "')'")?;
        Ok(if all {
            Expr::All {
                field,
                variable,
                body,
            }
        } else {
            Expr::Any {
                field,
                variable,
                body: Some(body),
            }
        })
    }

    fn field(&mut self) -> Result<Field, Error> {
        let position = self.position();
        let mut path = Vec::new();
        loop {
            match self.peek() {
                Some(Token::Word(word)) => path.push(word.clone()),
                _ => return self.wrong("expected the name of a field"),
            }
            self.at += 1;
            if !self.take(&Token::Slash) {
                return Ok(Field { path, position });
            }
        }
    }

    fn text(&mut self) -> Result<String, Error> {
        match self.peek().cloned() {
            Some(Token::Literal(Literal::Text(text))) => {
                self.at += 1;
                Ok(text)
            }
            _ => self.wrong("expected a text in single quotes"),
        }
    }

    fn literal(&mut self) -> Result<Literal, Error> {
        let literal = match self.peek() {
            Some(Token::Literal(literal)) => literal.clone(),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("true") => Literal::Bool(true),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("false") => Literal::Bool(false),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("null") => Literal::Null,
            _ => return self.wrong(
                "expected a value: a text in single quotes, a number, a time, true, false or null",
            ),
        };
        self.at += 1;
        Ok(literal)
    }
}
