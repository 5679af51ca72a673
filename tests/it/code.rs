//! What the functions' code asks of AWS, read from the code.
//!
//! From a function's `main` the calls are followed by name. A method counts where its
//! type is named by code that is reached, so another adapter's methods do not. What is
//! found are the calls of the SDK's clients and, for DynamoDB, the environment variable
//! that the table's name comes from.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Expr, FnArg, Item, Member, Pat, Signature, Stmt, Token};

/// What is no part of a function.
const NOT_DEPLOYED: [&str; 3] = ["waybill", "model", "testkit"];

/// An action and, for a table, the variable that names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) action: String,
    pub(crate) table: Option<String>,
}

#[derive(Clone)]
struct Function {
    place: Place,
    name: String,
    gives_a_future: bool,
    has_receiver: bool,
    parameters: Vec<(String, Vec<String>)>,
    named: HashSet<String>,
    facts: Facts,
}

/// Where a function stands.
#[derive(Clone)]
struct Place {
    file: Rc<SourceFile>,
    /// The type of its `impl`, or its trait.
    owner: Option<String>,
    /// The trait that the `impl` is of.
    of_trait: Option<String>,
    is_default: bool,
}

struct SourceFile {
    of_crate: String,
    services: Vec<String>,
    words: HashSet<String>,
    traits: HashSet<String>,
}

/// The code that one function can be made of.
#[derive(Clone, Default)]
pub(crate) struct Code {
    functions: Vec<Function>,
    by_name: HashMap<String, Vec<usize>>,
    /// The types of a type's fields.
    fields: HashMap<String, HashMap<String, Vec<String>>>,
    aliases: HashMap<String, HashSet<String>>,
    supertraits: HashMap<String, Vec<String>>,
}

impl Code {
    /// The code of all crates that functions share.
    pub(crate) fn shared() -> Self {
        let mut code = Self::default();
        for entry in std::fs::read_dir(crates()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_a_function = path.join("src/main.rs").exists();
            if !is_a_function && !NOT_DEPLOYED.contains(&name) {
                code.read_crate(name);
            }
        }
        code
    }

    /// With that of one function.
    pub(crate) fn with(&self, function: &str) -> Self {
        let mut code = self.clone();
        code.read_crate(function);
        code
    }

    fn read_crate(&mut self, name: &str) {
        for file in sources(&crates().join(name).join("src")) {
            self.read(&file, &name.replace('-', "_"));
        }
    }

    fn read(&mut self, file: &Path, of_crate: &str) {
        let text = std::fs::read_to_string(file).unwrap();
        let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let words = text.split(|letter| !is_word(letter)).map(str::to_owned);
        let words: HashSet<_> = words.collect();
        let services = words
            .iter()
            .filter_map(|word| word.strip_prefix("aws_sdk_"));
        let services = services
            .filter(|it| !it.contains('_'))
            .map(str::to_owned)
            .collect();
        let file = Rc::new(SourceFile {
            of_crate: of_crate.to_owned(),
            services,
            words,
            traits: named_traits(&parsed),
        });
        self.items(&parsed.items, &file);
    }

    fn items(&mut self, items: &[Item], file: &Rc<SourceFile>) {
        for item in items {
            match item {
                Item::Fn(it) if !is_test(&it.attrs) => {
                    self.function(Place::free(file), &it.sig, Some(&it.block));
                }
                Item::Impl(it) if !is_test(&it.attrs) => self.implementation(it, file),
                Item::Trait(it) => {
                    let above = it.supertraits.iter().filter_map(|bound| match bound {
                        syn::TypeParamBound::Trait(bound) => path_of(&bound.path),
                        _ => None,
                    });
                    self.supertraits
                        .insert(it.ident.to_string(), above.collect());
                    for item in &it.items {
                        if let syn::TraitItem::Fn(f) = item {
                            let place = Place::in_trait(file, it.ident.to_string());
                            self.function(place, &f.sig, f.default.as_ref());
                        }
                    }
                }
                Item::Struct(it) => {
                    let fields = it.fields.iter().enumerate().map(|(index, field)| {
                        let name = field.ident.as_ref().map(ToString::to_string);
                        (name.unwrap_or_else(|| index.to_string()), names(&field.ty))
                    });
                    self.fields.insert(it.ident.to_string(), fields.collect());
                }
                Item::Type(it) => {
                    let named = names(&it.ty).into_iter().collect();
                    self.aliases.insert(it.ident.to_string(), named);
                }
                Item::Mod(it) if !is_test(&it.attrs) => {
                    let inside = it.content.as_ref().map(|(_, items)| items.as_slice());
                    self.items(inside.unwrap_or_default(), file);
                }
                _ => {}
            }
        }
    }

    fn implementation(&mut self, it: &syn::ItemImpl, file: &Rc<SourceFile>) {
        let of_trait = it.trait_.as_ref().and_then(|(_, path, _)| path_of(path));
        let place = Place {
            owner: names(&it.self_ty).into_iter().next(),
            of_trait,
            ..Place::free(file)
        };
        for item in &it.items {
            if let syn::ImplItem::Fn(it) = item {
                self.function(place.clone(), &it.sig, Some(&it.block));
            }
        }
    }

    fn function(&mut self, place: Place, signature: &Signature, body: Option<&syn::Block>) {
        let Some(body) = body else { return };
        let returned = match &signature.output {
            syn::ReturnType::Type(_, returned) => names(returned),
            syn::ReturnType::Default => Vec::new(),
        };
        let gives_a_future = returned.iter().any(|name| name == "Future");
        let mut facts = Facts {
            knows_futures: signature.asyncness.is_some() || gives_a_future,
            ..Facts::default()
        };
        facts.visit_block(body);
        if facts.knows_futures {
            facts.tail(body);
        }
        let mut named = facts.named.clone();
        named.extend(place.owner.clone());
        let mut parameters = Vec::new();
        for argument in &signature.inputs {
            if let FnArg::Typed(argument) = argument {
                let types = names(&argument.ty);
                named.extend(types.iter().cloned());
                parameters.push((pattern_names(&argument.pat).join(","), types));
            }
        }
        named.extend(returned);
        let known = self.by_name.entry(signature.ident.to_string());
        known.or_default().push(self.functions.len());
        self.functions.push(Function {
            place,
            name: signature.ident.to_string(),
            gives_a_future: facts.knows_futures,
            has_receiver: signature.receiver().is_some(),
            parameters,
            named,
            facts,
        });
    }

    /// What `main` and all that it reaches ask of AWS.
    pub(crate) fn uses(&self) -> BTreeSet<Use> {
        let reached = self.reached();
        let mut uses = BTreeSet::new();
        for index in &reached {
            let function = &self.functions[*index];
            let requests = &function.facts.requests;
            for call in requests {
                let is_same = |it: &Request| it.operation == call.operation && it.table.is_some();
                if call.table.is_none() && requests.iter().any(is_same) {
                    continue;
                }
                let Some(action) = action(function.service(call), &call.operation) else {
                    continue;
                };
                if !action.starts_with("dynamodb:") {
                    uses.insert(Use {
                        action,
                        table: None,
                    });
                    continue;
                }
                let tables = self.tables(&reached, *index, call);
                // Without a table that it was given, the function cannot ask.
                for table in tables {
                    let (action, table) = (action.clone(), Some(table));
                    uses.insert(Use { action, table });
                }
            }
        }
        uses
    }

    /// The functions that `main` reaches.
    fn reached(&self) -> BTreeSet<usize> {
        let is_main = |index: &usize| self.functions[*index].name == "main";
        let mut called: BTreeSet<usize> = (0..self.functions.len()).filter(is_main).collect();
        let (mut reached, mut types) = (BTreeSet::new(), HashSet::new());
        loop {
            let is_new = |index: &&usize| {
                !reached.contains(*index) && self.functions[**index].is_there(&types)
            };
            let new: Vec<_> = called.iter().filter(is_new).copied().collect();
            if new.is_empty() {
                return reached;
            }
            for index in new {
                reached.insert(index);
                self.learn_types(&mut types, &self.functions[index]);
                called.extend(self.called_by(&self.functions[index]));
            }
        }
    }

    fn learn_types(&self, known: &mut HashSet<String>, function: &Function) {
        let mut types: Vec<String> = function.named.iter().cloned().collect();
        while let Some(name) = types.pop() {
            if known.insert(name.clone()) {
                let fields = self.fields.get(&name).into_iter();
                types.extend(fields.flat_map(|all| all.values().flatten().cloned()));
                types.extend(self.aliases.get(&name).into_iter().flatten().cloned());
            }
        }
    }

    /// What a function may call, whatever the types turn out to be.
    fn called_by(&self, caller: &Function) -> Vec<usize> {
        let is_called = |function: &Function| {
            let Some(owner) = &function.place.owner else {
                return caller.names(function);
            };
            let of_path = |(of, name): &(String, String)| {
                let is_own = of == "Self" && caller.place.owner.as_ref() == Some(owner);
                let is_generic = of.len() == 1;
                *name == function.name && (is_own || of == owner || is_generic)
            };
            let of_call = |call: &Call| {
                let is_awaited = call.is_awaited || !function.gives_a_future;
                let fits = call.name == function.name && is_awaited;
                let known = self.receiver(caller, &call.receiver);
                let known = known.filter(|of| self.has(of, &call.name));
                fits && call.arguments == function.parameters.len()
                    && known.map_or_else(|| self.sees(caller, function), |of| of == *owner)
            };
            caller.facts.associated.iter().any(of_path) || caller.facts.calls.iter().any(of_call)
        };
        let facts = &caller.facts;
        let associated = facts.associated.iter().map(|(_, name)| name);
        let called = facts.calls.iter().map(|call| &call.name);
        let names: HashSet<_> = facts.paths.iter().chain(associated).chain(called).collect();
        let of_name = |name| self.by_name.get(name).into_iter().flatten().copied();
        let candidates = names.into_iter().flat_map(of_name);
        candidates
            .filter(|index| is_called(&self.functions[*index]))
            .collect()
    }

    /// A trait's method can be called only where the trait, or one that asks for it, is named.
    fn sees(&self, caller: &Function, function: &Function) -> bool {
        let Some(of_trait) = &function.place.of_trait else {
            return true;
        };
        let named = &caller.place.file.traits;
        let asks = |name: &String| {
            let above = self.supertraits.get(name);
            above.is_some_and(|above| above.contains(of_trait))
        };
        named.contains(of_trait) || named.iter().any(asks)
    }

    fn has(&self, owner: &str, name: &str) -> bool {
        let named = self.by_name.get(name).into_iter().flatten();
        let mut owners = named.map(|index| self.functions[*index].place.owner.as_deref());
        owners.any(|it| it == Some(owner))
    }

    /// The type that a method is called on, where it is written down: `self`, or a field of it.
    fn receiver(&self, function: &Function, receiver: &[String]) -> Option<String> {
        let owner = function.place.owner.as_ref()?;
        match receiver {
            [base] if base == "self" => Some(owner.clone()),
            [base, field] if base == "self" => {
                let types = self.fields.get(owner)?.get(field)?;
                let mut known = types.iter().filter(|name| self.fields.contains_key(*name));
                known.next().cloned()
            }
            _ => None,
        }
    }

    /// The variables that the table's name in a request comes from.
    fn tables(&self, reached: &BTreeSet<usize>, index: usize, call: &Request) -> BTreeSet<String> {
        let mut origin = Origin {
            code: self,
            reached,
            seen: HashSet::new(),
            found: BTreeSet::new(),
        };
        if let Some(table) = &call.table {
            origin.of(index, table);
        }
        if origin.found.is_empty() {
            // It came with a part of a transaction, which its type has built.
            let owner = self.functions[index]
                .place
                .owner
                .clone()
                .unwrap_or_default();
            for field in self
                .fields
                .get(&owner)
                .into_iter()
                .flat_map(|all| all.keys())
            {
                origin.of_field(&owner, field);
            }
        }
        origin.found
    }
}

impl Place {
    fn free(file: &Rc<SourceFile>) -> Self {
        let file = Rc::clone(file);
        Self {
            file,
            owner: None,
            of_trait: None,
            is_default: false,
        }
    }

    fn in_trait(file: &Rc<SourceFile>, name: String) -> Self {
        let of_trait = Some(name.clone());
        Self {
            owner: Some(name),
            of_trait,
            is_default: true,
            ..Self::free(file)
        }
    }
}

impl Function {
    /// Whether there can be a value that it is called on.
    fn is_there(&self, types: &HashSet<String>) -> bool {
        let owner = self.place.owner.as_ref();
        self.place.is_default || owner.is_none_or(|owner| types.contains(owner))
    }

    /// A free function is of the same crate, or of one that the file names. What has the
    /// name of a variable is the variable.
    fn names(&self, function: &Self) -> bool {
        let (name, of_crate) = (&function.name, &function.place.file.of_crate);
        let file = &self.place.file;
        let is_near = file.of_crate == *of_crate || file.words.contains(of_crate);
        let is_variable = self.facts.bound.contains_key(name)
            || self
                .parameters
                .iter()
                .any(|(parameter, _)| parameter == name);
        is_near && !is_variable && self.facts.paths.contains(name)
    }

    /// The service of a request: that of the client's name, or the only one of the file.
    fn service(&self, request: &Request) -> &str {
        let services = &self.place.file.services;
        let by_name = services.iter().find(|it| **it == request.client);
        by_name.or(services.first()).map_or("", String::as_str)
    }
}

/// Follows a table's name back to the environment.
struct Origin<'a> {
    code: &'a Code,
    reached: &'a BTreeSet<usize>,
    seen: HashSet<(usize, String)>,
    found: BTreeSet<String>,
}

impl Origin<'_> {
    fn of(&mut self, index: usize, expression: &Expr) {
        let mut words = Words::default();
        words.visit_expr(expression);
        let function = &self.code.functions[index];
        self.found.extend(
            words
                .literals
                .into_iter()
                .filter(|it| it.ends_with("_TABLE")),
        );
        for (base, field) in words.fields {
            if base == "self" {
                self.of_field(function.place.owner.as_deref().unwrap_or_default(), &field);
                continue;
            }
            let parameter = function.parameters.iter().find(|(name, _)| *name == base);
            for owner in parameter
                .map(|(_, types)| types.clone())
                .unwrap_or_default()
            {
                self.of_field(&owner, &field);
            }
        }
        for name in words.variables {
            self.of_variable(index, &name);
        }
    }

    fn of_field(&mut self, owner: &str, field: &str) {
        for index in self.reached {
            let function = &self.code.functions[*index];
            if function.place.owner.as_deref() != Some(owner) {
                continue;
            }
            for (name, value) in &function.facts.built {
                if name == field && self.seen.insert((*index, format!("{owner}.{field}"))) {
                    self.of(*index, value);
                }
            }
        }
    }

    fn of_variable(&mut self, index: usize, name: &str) {
        if !self.seen.insert((index, name.to_owned())) {
            return;
        }
        let function = &self.code.functions[index];
        if let Some(value) = function.facts.bound.get(name) {
            self.of(index, value);
        }
        // A variable may have the name of the argument that it is made of.
        if let Some(at) = function.parameters.iter().position(|(it, _)| it == name) {
            self.of_argument(index, at);
        }
    }

    fn of_argument(&mut self, index: usize, at: usize) {
        let called = &self.code.functions[index];
        for caller in self.reached {
            for (owner, name, arguments) in &self.code.functions[*caller].facts.arguments {
                let fits = match (owner.as_deref(), called.place.owner.as_deref()) {
                    (None, None) => true,
                    (Some("Self"), own) => {
                        self.code.functions[*caller].place.owner.as_deref() == own
                    }
                    (Some("."), Some(_)) => called.has_receiver,
                    (Some(owner), Some(own)) => owner == own,
                    _ => false,
                };
                if fits
                    && *name == called.name
                    && let Some(argument) = arguments.get(at)
                {
                    self.of(*caller, argument);
                }
            }
        }
    }
}

/// A method call: on what, by which name.
#[derive(Clone)]
struct Call {
    receiver: Vec<String>,
    name: String,
    arguments: usize,
    is_awaited: bool,
}

/// A request to AWS, with the table that it names.
#[derive(Clone)]
struct Request {
    client: String,
    operation: String,
    table: Option<Expr>,
}

/// What one function's body says.
#[derive(Clone, Default)]
struct Facts {
    named: HashSet<String>,
    paths: HashSet<String>,
    calls: Vec<Call>,
    associated: HashSet<(String, String)>,
    requests: Vec<Request>,
    bound: HashMap<String, Expr>,
    built: Vec<(String, Expr)>,
    /// The type or nothing (`.` for a method), the name, the arguments.
    arguments: Vec<(Option<String>, String, Vec<Expr>)>,
    awaiting: bool,
    /// It awaits futures, or gives one.
    knows_futures: bool,
}

impl Facts {
    /// A future that is handed on, not awaited: the caller awaits it.
    fn tail(&mut self, body: &syn::Block) {
        if let Some(Stmt::Expr(Expr::MethodCall(call), None)) = body.stmts.last() {
            let (receiver, name) = (receiver(&call.receiver), call.method.to_string());
            self.calls.push(Call {
                receiver,
                name,
                arguments: call.args.len(),
                is_awaited: true,
            });
        }
    }
}

impl<'a> Visit<'a> for Facts {
    fn visit_expr_await(&mut self, it: &'a syn::ExprAwait) {
        let outside = std::mem::replace(&mut self.awaiting, true);
        self.visit_expr(&it.base);
        self.awaiting = outside;
    }

    fn visit_expr_closure(&mut self, it: &'a syn::ExprClosure) {
        // What a closure gives may be awaited by whoever calls it.
        let last = match &*it.body {
            Expr::Block(body) => body.block.stmts.last(),
            _ => None,
        };
        let gives_a_call = matches!(*it.body, Expr::MethodCall(_))
            || matches!(last, Some(Stmt::Expr(Expr::MethodCall(_), None)));
        let outside = std::mem::replace(&mut self.awaiting, gives_a_call && self.knows_futures);
        visit::visit_expr_closure(self, it);
        self.awaiting = outside;
    }

    fn visit_expr_method_call(&mut self, it: &'a syn::ExprMethodCall) {
        let is_awaited = self.awaiting;
        let (receiver, name) = (receiver(&it.receiver), it.method.to_string());
        if name == "table_name"
            && let Some((client, operation)) = operation(&it.receiver)
        {
            let table = it.args.first().cloned();
            self.requests.push(Request {
                client,
                operation,
                table,
            });
        } else if it.args.is_empty()
            && let Some(client) = client(&receiver)
        {
            self.requests.push(Request {
                client,
                operation: name.clone(),
                table: None,
            });
        }
        let arguments = it.args.iter().cloned().collect();
        self.arguments
            .push((Some(".".to_owned()), name.clone(), arguments));
        self.calls.push(Call {
            receiver,
            name,
            arguments: it.args.len(),
            is_awaited,
        });
        visit::visit_expr_method_call(self, it);
    }

    fn visit_expr_call(&mut self, it: &'a syn::ExprCall) {
        if let Expr::Path(path) = &*it.func {
            let mut segments = path
                .path
                .segments
                .iter()
                .rev()
                .map(|it| it.ident.to_string());
            let name = segments.next().unwrap_or_default();
            let owner = segments
                .next()
                .filter(|it| it.starts_with(char::is_uppercase));
            // What is built is sent: `SendTaskSuccessInput::builder()`.
            if name == "builder"
                && let Some(operation) = owner.as_ref().filter(|it| is_input(it))
            {
                self.requests.push(Request {
                    client: String::new(),
                    operation: operation.clone(),
                    table: None,
                });
            }
            self.arguments
                .push((owner, name, it.args.iter().cloned().collect()));
        }
        visit::visit_expr_call(self, it);
    }

    fn visit_expr_struct(&mut self, it: &'a syn::ExprStruct) {
        for field in &it.fields {
            if let Member::Named(name) = &field.member {
                self.built.push((name.to_string(), field.expr.clone()));
            }
        }
        visit::visit_expr_struct(self, it);
    }

    fn visit_local(&mut self, it: &'a syn::Local) {
        if let Some(init) = &it.init {
            match (&it.pat, &*init.expr) {
                (Pat::Tuple(names), Expr::Tuple(values)) => {
                    for (name, value) in names.elems.iter().zip(&values.elems) {
                        bind(&mut self.bound, name, value);
                    }
                }
                (name, value) => bind(&mut self.bound, name, value),
            }
        }
        // A future that is bound may be awaited later.
        let binds_a_call = it
            .init
            .as_ref()
            .is_some_and(|it| matches!(*it.expr, Expr::MethodCall(_)));
        let outside = self.awaiting;
        self.awaiting |= binds_a_call && self.knows_futures;
        visit::visit_local(self, it);
        self.awaiting = outside;
    }

    fn visit_path(&mut self, it: &'a syn::Path) {
        let segments: Vec<_> = it.segments.iter().map(|it| it.ident.to_string()).collect();
        self.named.extend(segments.iter().cloned());
        self.paths.extend(segments.last().cloned());
        if let [.., owner, name] = segments.as_slice() {
            self.associated.insert((owner.clone(), name.clone()));
        }
        visit::visit_path(self, it);
    }

    fn visit_macro(&mut self, it: &'a syn::Macro) {
        let arguments = it.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated);
        for argument in arguments.into_iter().flatten() {
            // `join!` and its like await what they are given.
            let mut facts = Self {
                awaiting: true,
                knows_futures: true,
                ..Self::default()
            };
            facts.visit_expr(&argument);
            self.named.extend(facts.named);
            self.paths.extend(facts.paths);
            self.calls.extend(facts.calls);
            self.associated.extend(facts.associated);
            self.requests.extend(facts.requests);
        }
    }
}

fn bind(bound: &mut HashMap<String, Expr>, pattern: &Pat, value: &Expr) {
    for name in pattern_names(pattern) {
        bound.insert(name, value.clone());
    }
}

/// What clients of the SDK are called here.
const CLIENTS: [&str; 3] = ["client", "lambda", "sqs"];

fn client(receiver: &[String]) -> Option<String> {
    receiver
        .last()
        .filter(|it| CLIENTS.contains(&it.as_str()))
        .cloned()
}

/// What a chain of calls begins with: `self.client.get_item()`, `Put::builder()`.
fn operation(chain: &Expr) -> Option<(String, String)> {
    match chain {
        Expr::MethodCall(it) => match client(&receiver(&it.receiver)) {
            Some(client) if it.args.is_empty() => Some((client, it.method.to_string())),
            _ => operation(&it.receiver),
        },
        Expr::Call(it) => {
            let Expr::Path(path) = &*it.func else {
                return None;
            };
            let mut segments = path
                .path
                .segments
                .iter()
                .rev()
                .map(|it| it.ident.to_string());
            let build = segments.next().filter(|it| it == "builder");
            build.and(segments.next()).map(|part| (String::new(), part))
        }
        _ => None,
    }
}

/// `self.client` as its words.
fn receiver(expression: &Expr) -> Vec<String> {
    match expression {
        Expr::Path(it) => it
            .path
            .get_ident()
            .map(ToString::to_string)
            .into_iter()
            .collect(),
        Expr::Field(it) => {
            let mut words = receiver(&it.base);
            if let Member::Named(name) = &it.member {
                words.push(name.to_string());
            }
            words
        }
        Expr::Reference(it) => receiver(&it.expr),
        Expr::Paren(it) => receiver(&it.expr),
        _ => Vec::new(),
    }
}

/// What an expression is made of.
#[derive(Default)]
struct Words {
    literals: Vec<String>,
    fields: Vec<(String, String)>,
    variables: Vec<String>,
}

impl<'a> Visit<'a> for Words {
    fn visit_lit_str(&mut self, it: &'a syn::LitStr) {
        self.literals.push(it.value());
    }

    fn visit_expr_field(&mut self, it: &'a syn::ExprField) {
        match receiver(&Expr::Field(it.clone())).as_slice() {
            [base, field, ..] => self.fields.push((base.clone(), field.clone())),
            _ => visit::visit_expr_field(self, it),
        }
    }

    fn visit_expr_path(&mut self, it: &'a syn::ExprPath) {
        self.variables
            .extend(it.path.get_ident().map(ToString::to_string));
    }
}

/// The right that an operation needs. A transaction needs those of its parts.
fn action(service: &str, operation: &str) -> Option<String> {
    let service = match service {
        "sfn" => "states",
        service => service,
    };
    let operation = match operation {
        "Put" | "Update" | "Delete" => format!("{operation}Item"),
        "ConditionCheck" => "ConditionCheckItem".to_owned(),
        "transact_write_items" | "TransactWriteItemsInput" | "clone" => return None,
        // AWS has no right of this name; a batch is a Publish.
        "publish_batch" => "Publish".to_owned(),
        "invoke" => "InvokeFunction".to_owned(),
        input if is_input(input) => input.trim_end_matches("Input").to_owned(),
        other => other.split('_').map(capitalized).collect(),
    };
    Some(format!("{service}:{operation}"))
}

/// The type of what an operation of the SDK is asked with.
fn is_input(name: &str) -> bool {
    name.starts_with(char::is_uppercase) && name.ends_with("Input")
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates")
}

fn path_of(path: &syn::Path) -> Option<String> {
    path.segments.last().map(|it| it.ident.to_string())
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let condition = attribute.parse_args::<syn::Ident>();
        attribute.path().is_ident("cfg") && condition.is_ok_and(|it| it == "test")
    })
}

/// What a file imports, and what it asks of type parameters: the traits are among it.
fn named_traits(file: &syn::File) -> HashSet<String> {
    struct Traits(HashSet<String>);
    impl<'a> Visit<'a> for Traits {
        fn visit_use_name(&mut self, it: &'a syn::UseName) {
            self.0.insert(it.ident.to_string());
        }

        fn visit_trait_bound(&mut self, it: &'a syn::TraitBound) {
            self.0.extend(path_of(&it.path));
            visit::visit_trait_bound(self, it);
        }

        fn visit_item_trait(&mut self, it: &'a syn::ItemTrait) {
            self.0.insert(it.ident.to_string());
            visit::visit_item_trait(self, it);
        }
    }
    let mut traits = Traits(HashSet::new());
    traits.visit_file(file);
    traits.0
}

/// The names in a type, the outermost first.
fn names(of: &syn::Type) -> Vec<String> {
    struct Names(Vec<String>);
    impl<'a> Visit<'a> for Names {
        fn visit_path(&mut self, it: &'a syn::Path) {
            self.0
                .extend(it.segments.last().map(|it| it.ident.to_string()));
            visit::visit_path(self, it);
        }
    }
    let mut names = Names(Vec::new());
    names.visit_type(of);
    names.0
}

fn pattern_names(pattern: &Pat) -> Vec<String> {
    struct Names(Vec<String>);
    impl<'a> Visit<'a> for Names {
        fn visit_pat_ident(&mut self, it: &'a syn::PatIdent) {
            self.0.push(it.ident.to_string());
            visit::visit_pat_ident(self, it);
        }
    }
    let mut names = Names(Vec::new());
    names.visit_pat(pattern);
    names.0
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
    files.retain(|path| !path.ends_with("tests.rs"));
    files
}
