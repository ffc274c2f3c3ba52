//! Tokens to expressions, by recursive descent with a limit on depth.

use crate::{
    Direction, Error, Expr, Field, Function, Literal, Op,
    lexer::{At, Token, tokens},
};

/// Longest text that is read.
pub const MAX_CHARS: usize = 8192;
/// Height of the tallest tree that is made, and so what recursion over a tree has to bear. A chain of
/// `and` or `or` grows the tree by one with each of its terms.
pub const MAX_DEPTH: usize = 64;
/// Deepest nesting that is read. Printing puts up to two parentheses or words around each level of a
/// tree (`not ((a and b))`), and what was printed must read back.
const MAX_NESTING: usize = 2 * MAX_DEPTH;

/// Reads a `$filter`.
///
/// # Errors
/// What is wrong and where.
pub fn parse_filter(text: &str) -> Result<Expr, Error> {
    let mut parser = Parser::new(text)?;
    let tree = parser.or(0)?;
    parser.end()?;
    Ok(tree.expr)
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

/// An expression and its height; a leaf's is 1.
struct Tree {
    expr: Expr,
    height: usize,
}

impl Tree {
    const fn leaf(expr: Expr) -> Self {
        Self { expr, height: 1 }
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

    /// Height of a tree over trees of this height at most.
    fn above(&self, height: usize) -> Result<usize, Error> {
        if height >= MAX_DEPTH {
            return self.wrong(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        Ok(height + 1)
    }

    fn or(&mut self, depth: usize) -> Result<Tree, Error> {
        let mut left = self.and(depth)?;
        while self.keyword("or") {
            let right = self.and(depth)?;
            let height = self.above(left.height.max(right.height))?;
            let expr = Expr::Or(Box::new(left.expr), Box::new(right.expr));
            left = Tree { expr, height };
        }
        Ok(left)
    }

    fn and(&mut self, depth: usize) -> Result<Tree, Error> {
        let mut left = self.not(depth)?;
        while self.keyword("and") {
            let right = self.not(depth)?;
            let height = self.above(left.height.max(right.height))?;
            let expr = Expr::And(Box::new(left.expr), Box::new(right.expr));
            left = Tree { expr, height };
        }
        Ok(left)
    }

    fn not(&mut self, depth: usize) -> Result<Tree, Error> {
        if depth > MAX_NESTING {
            return self.wrong(format!("nested deeper than {MAX_NESTING} parentheses"));
        }
        if self.keyword("not") {
            let inner = self.not(depth + 1)?;
            let height = self.above(inner.height)?;
            return Ok(Tree {
                expr: Expr::Not(Box::new(inner.expr)),
                height,
            });
        }
        if self.take(&Token::Open) {
            let inner = self.or(depth + 1)?;
            self.need(&Token::Close, "')'")?;
            return Ok(inner);
        }
        self.leaf(depth)
    }

    fn leaf(&mut self, depth: usize) -> Result<Tree, Error> {
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
            return self.call(function).map(Tree::leaf);
        }
        let mut field = self.field()?;
        if self.peek() == Some(&Token::Open)
            && let [_, .., last] = field.path.as_slice()
            && let Some(all) = quantifier(last)
        {
            self.at += 1;
            field.path.pop();
            return self.lambda(field, all, depth);
        }
        let op = match self.peek() {
            Some(Token::Word(word)) => match word.to_ascii_lowercase().as_str() {
                "eq" => Op::Eq,
                "ne" => Op::Ne,
                "gt" => Op::Gt,
                "ge" => Op::Ge,
                "lt" => Op::Lt,
                "le" => Op::Le,
                "and" | "or" => return Ok(Tree::leaf(Expr::Bare(field))),
                _ => return self.wrong("expected one of eq, ne, gt, ge, lt, le"),
            },
            None | Some(Token::Close) => return Ok(Tree::leaf(Expr::Bare(field))),
            Some(_) => return self.wrong("expected one of eq, ne, gt, ge, lt, le"),
        };
        self.at += 1;
        let value = self.literal()?;
        Ok(Tree::leaf(Expr::Compare { field, op, value }))
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

    fn lambda(&mut self, field: Field, all: bool, depth: usize) -> Result<Tree, Error> {
        if !all && self.take(&Token::Close) {
            return Ok(Tree::leaf(Expr::Any {
                field,
                variable: String::new(),
                body: None,
            }));
        }
        let Some(Token::Word(variable)) = self.peek().cloned() else {
            return self.wrong("expected the name of the element");
        };
        self.at += 1;
        self.need(&Token::Colon, "':'")?;
        let inner = self.or(depth + 1)?;
        self.need(&Token::Close, "')'")?;
        let height = self.above(inner.height)?;
        let body = Box::new(inner.expr);
        let expr = if all {
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
        };
        Ok(Tree { expr, height })
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

/// Whether a path's last segment asks of all elements or of any; neither for other names.
fn quantifier(name: &str) -> Option<bool> {
    if name.eq_ignore_ascii_case("all") {
        Some(true)
    } else if name.eq_ignore_ascii_case("any") {
        Some(false)
    } else {
        None
    }
}
