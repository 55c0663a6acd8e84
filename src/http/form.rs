//! A form as a body (`application/x-www-form-urlencoded`): each of its members once, and no other.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use zeroize::Zeroizing;

use crate::error::FieldError;
use crate::http::extract::{is_of_type, read, room};
use crate::http::json::unknown;
use crate::http::problem::{Kind, Problem, TokenError};
use crate::http::surface::MAX_NAMED;

/// The longest form.
const MAX_FORM_BYTES: usize = 16 * 1024;

/// A form. What it was read into is wiped, and so is what was taken from it.
pub(super) struct Form(Zeroizing<Vec<u8>>);

impl FromRequest for Form {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (is_form, payload) = (is_of_type(request, "application/x-www-form-urlencoded"), payload.take());
        let room = room(request, MAX_FORM_BYTES);
        Box::pin(async move {
            if !is_form {
                let detail = "send application/x-www-form-urlencoded";
                return Err(
                    Problem::new(Kind::UnsupportedMediaType, detail).of_token(TokenError::InvalidRequest)
                );
            }
            let body = read(payload, room, MAX_FORM_BYTES).await;
            body.map(Self).map_err(|problem| problem.of_token(TokenError::InvalidRequest))
        })
    }
}

impl Form {
    /// The values of `names`, in their order.
    pub(super) fn take<const N: usize>(
        self,
        names: [&str; N],
    ) -> Result<[Option<Zeroizing<String>>; N], Problem> {
        let mut values = [const { None }; N];
        let mut wrong = Vec::new();
        for (name, value) in url::form_urlencoded::parse(&self.0) {
            match names.iter().position(|known| *known == name).and_then(|at| values.get_mut(at)) {
                Some(Some(_)) => wrong.push(FieldError::new(&name, "once", "must be given once")),
                Some(empty) => *empty = Some(Zeroizing::new(value.into_owned())),
                None => wrong.push(unknown(&name)),
            }
        }
        wrong.truncate(MAX_NAMED);
        if wrong.is_empty() {
            Ok(values)
        } else {
            Err(Problem::token_request(wrong, TokenError::InvalidRequest))
        }
    }
}
