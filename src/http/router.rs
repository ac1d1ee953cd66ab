//! Which route answers a call: one look-up by the path, then by the method.

use super::problem::Problem;
use super::route::Route;
use std::collections::{BTreeMap, BTreeSet};
use warp::http::Method;

/// Routes by their templates, each with what answers it.
pub(super) struct Router<T>(matchit::Router<Path<T>>);

struct Path<T> {
    parameters: Vec<&'static str>,
    /// In the order in which they were given: of two with one method, the first answers.
    routes: Vec<(&'static Route, T)>,
}

pub(super) struct Found<'a, T> {
    pub route: &'static Route,
    pub handler: &'a T,
    /// The segments that vary, as they were sent.
    pub parameters: Vec<(&'static str, String)>,
}

impl<T> Router<T> {
    pub(super) fn new(routes: impl IntoIterator<Item = (&'static Route, T)>) -> Router<T> {
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

    /// # Errors
    /// 404 `not_found`, and 405 `method_not_allowed` where the path has other methods.
    pub(super) fn look_up(&self, method: &Method, path: &str) -> Result<Found<'_, T>, Problem> {
        let found = self.0.at(path).map_err(|_| Problem::not_found())?;
        let Path { parameters, routes } = found.value;
        let Some((route, handler)) = routes.iter().find(|(route, _)| route.answers(method)) else {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::table;
    use warp::http::StatusCode;

    fn router() -> Router<()> {
        Router::new(table().into_iter().map(|operation| (operation.route, ())))
    }

    fn refusal(path: &str) -> Problem {
        router().look_up(&Method::TRACE, path).err().expect("no route has this method")
    }

    #[test]
    fn every_route_is_found_by_its_template() {
        let router = router();
        for route in table().into_iter().map(|operation| operation.route) {
            let found = router.look_up(&route.method, &route.template.replace(['{', '}'], "")).expect(route.name);
            assert_eq!(found.route.name, route.name);
            assert!(found.parameters.iter().all(|(name, value)| name == value), "{:?}", found.parameters);
        }
        assert!(router.look_up(&Method::HEAD, "/v1/cars").is_ok());
        let found = router.look_up(&Method::DELETE, "/v1/cars/12%EA%B0%80/blocks/b%2F1").expect("a block");
        assert_eq!(found.parameters, [("carNo", "12%EA%B0%80".to_owned()), ("blockNo", "b%2F1".to_owned())]);
    }

    #[test]
    fn a_known_path_tells_its_methods() {
        for (path, methods) in [("/v1/cars/x", "DELETE, GET, HEAD, PATCH"), ("/v1/reservations", "GET, HEAD, POST")] {
            let problem = refusal(path);
            assert_eq!((problem.status, problem.allow.as_deref()), (StatusCode::METHOD_NOT_ALLOWED, Some(methods)));
        }
    }

    #[test]
    fn other_paths_are_unknown() {
        for path in ["", "*", "/v1", "/v1/cars/", "/v1/cars//blocks", "/v1/cars/a/b", "/V1/cars", "//v1/cars"] {
            assert_eq!(refusal(path).status, StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(refusal(&"/a".repeat(10_000)).status, StatusCode::NOT_FOUND);
    }
}
