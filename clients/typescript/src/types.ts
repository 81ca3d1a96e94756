// Types taken from the `paths` that openapi-typescript generates from /openapi.json.

type Method = "post" | "put" | "patch" | "delete";
type IsAny<T> = 0 extends 1 & T ? true : false;
type Content<T> = T extends { content: infer C } ? C[keyof C] : undefined;

/** The paths that take submissions; any text without `Paths`. */
export type RoutePath<Paths> =
  IsAny<Paths> extends true
    ? string
    : { [P in keyof Paths]: P extends `/jobs${string}` ? never : P }[keyof Paths] & string;

/** The operation of a path and a method in capitals. */
export type Operation<Paths, Path, M extends string> =
  IsAny<Paths> extends true
    ? any
    : Path extends keyof Paths
      ? Lowercase<M> extends infer L extends Method & keyof Paths[Path]
        ? Paths[Path][L]
        : never
      : never;

/** The methods of a path, in capitals. */
export type MethodOf<Paths, Path> =
  IsAny<Paths> extends true
    ? string
    : Path extends keyof Paths
      ? {
          [M in Method & keyof Paths[Path]]: [Exclude<Paths[Path][M], undefined>] extends [never]
            ? never
            : Uppercase<M>;
        }[Method & keyof Paths[Path]]
      : never;

/** What an operation takes as its body. */
export type BodyOf<O> =
  IsAny<O> extends true
    ? any
    : O extends { requestBody: infer B }
      ? Content<B>
      : O extends { requestBody?: infer B }
        ? Content<Exclude<B, undefined>> | undefined
        : unknown;

/** What the handler of an operation returns. */
export type ResultOf<O> =
  IsAny<O> extends true
    ? any
    : O extends { responses: { 200: infer R } }
      ? Content<R>
      : unknown;

type PathOf<O> = O extends { parameters: { path: infer P } } ? P : never;
type QueryOf<O> = O extends { parameters: { query?: infer Q } } ? Q : never;

/** The parameters of a path's template, and the query. */
export type ParamsOf<O> =
  IsAny<O> extends true
    ? { path?: Record<string, string | number>; query?: Record<string, unknown> }
    : ([PathOf<O>] extends [never] ? { path?: never } : { path: PathOf<O> }) & {
        query?: [QueryOf<O>] extends [never] ? Record<string, unknown> : QueryOf<O>;
      };
