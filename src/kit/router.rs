//! Which route answers a call: one look-up by the path, then by the method.

use super::problem::Problem;
use super::route::Route;
use std::collections::{BTreeMap, BTreeSet};
use warp::http::Method;

/// Routes by their templates, each with what answers it.
pub(crate) struct Router<T>(matchit::Router<Path<T>>);

struct Path<T> {
    parameters: Vec<&'static str>,
    /// In the order in which they were given: of two with one method, the first answers.
    routes: Vec<(&'static Route, T)>,
}

pub(crate) struct Found<'a, T> {
    pub route: &'static Route,
    pub handler: &'a T,
    /// The segments that vary, as they were sent.
    pub parameters: Vec<(&'static str, String)>,
}

impl<T> Router<T> {
    pub(crate) fn new(routes: impl IntoIterator<Item = (&'static Route, T)>) -> Router<T> {
        let mut paths: BTreeMap<&'static str, Path<T>> = BTreeMap::new();
        for (route, handler) in routes {
            let template = route.template;
            let new = || Path { parameters: route.parameters().collect(), routes: vec![] };
            let path = paths.entry(template).or_insert_with(new);
            path.routes.push((route, handler));
        }
        let mut router = matchit::Router::new();
        for (template, path) in paths {
            let inserted = router.insert(template, path);
            debug_assert_eq!(inserted, Ok(()), "{template} cannot be told from another path");
        }
        Router(router)
    }

    /// Where a path has a page and a resource, `prefers_page` says which of them is wanted.
    ///
    /// # Errors
    /// 404 `not_found`, and 405 `method_not_allowed` where the path has other methods.
    pub(crate) fn look_up(&self, method: &Method, path: &str, prefers_page: bool) -> Result<Found<'_, T>, Problem> {
        let found = self.0.at(path).map_err(|_| Problem::not_found())?;
        let Path { parameters, routes } = found.value;
        let mut answering = routes.iter().filter(|(route, _)| route.answers(method)).peekable();
        let first = answering.peek().copied();
        let Some((route, handler)) = answering.find(|(route, _)| route.is_page == prefers_page).or(first) else {
            return Err(Problem::method_not_allowed(found.value.methods()));
        };
        let values = found.params.iter().map(|(_, value)| value.to_owned());
        Ok(Found { route, handler, parameters: parameters.iter().copied().zip(values).collect() })
    }
}

impl<T> Path<T> {
    /// As in the `Allow` header.
    fn methods(&self) -> String {
        let mut methods = BTreeSet::new();
        for (route, _) in &self.routes {
            methods.insert(route.method.as_str());
            if route.method == Method::GET {
                methods.insert("HEAD");
            }
        }
        methods.into_iter().collect::<Vec<_>>().join(", ")
    }
}
