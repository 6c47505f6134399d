// Types of /mesh.mjs, and of the global `mesh` that /mesh.js defines.

/**
 * Connects to a hub and returns at once; events wait until there is a connection. The callback is called once: when the
 * hub has accepted the client, or has rejected the user and password, or the token. Throws if the options give no valid
 * address, or if the token is invalid (`token`).
 */
export function connect(options?: Options, callback?: Callback): Client

/** The global of /mesh.js. Declare it: `declare const mesh: import('./mesh').Global`. */
export interface Global {
  /** Like the module's connect. A second call makes another client, which becomes the emitter. */
  connect(options?: Options, callback?: Callback): Client
  /** The same as connect, for pages of the original mesh. */
  start(options?: Options, callback?: Callback): Client
  /** The client that connect returned last. Before the first call, the client that it will return. */
  emitter: Client
}

/** The hub's address. Missing parts are those of the script's server, or of the script's `?hub=URL`. */
export interface Options {
  /** http or https, with the path of Engine.IO unless it is /engine.io/. */
  url?: string
  /** A name or address, with or without a port. */
  host?: string
  port?: number | string
  /** The path of Engine.IO. */
  path?: string
  /** true: https and wss. false: http and ws. */
  secure?: boolean
  user?: string
  password?: string
  /**
   * An alternative to user and password, if the hub requires it: visible ASCII characters. A session that starts with
   * polling sends it in a header. A session that starts with websocket sends it in its query, where a proxy may log it.
   */
  token?: string
  /** A name for people who look at the mesh. */
  name?: string
  /**
   * A session starts with the first one. Default: polling, then websocket if it gets through. Without a WebSocket, such
   * as in Node.js before 22, polling only; connect throws if polling is not in the list.
   */
  transports?: Array<'polling' | 'websocket'>
}

export type Callback = (error: MeshError | null, hub?: {
  id: string
  host: string
  port: string
  role: 'server'
  status: 'connected'
}) => void

/** `this` is the client, with the event's name in `this.event`. An error of a listener reaches window.onerror. */
export type Listener<T = any> = (this: Client, payload: T, event: MeshEvent<T>) => void

export interface MeshEvent<T = any> {
  event: string
  /** undefined if the event has no payload. */
  payload: T
  /** ID of the node that emitted the event; empty if the hub does not report it. */
  from: string
}

export interface Client {
  /** This node's ID. It is known from the first connection on. */
  readonly id: string
  readonly state: State
  /** The client itself, as in the original. */
  readonly emitter: Client
  /** Name of the event whose listener is running. */
  readonly event: string

  /** Connects to another hub, or as another user. The client keeps its listeners and its queued events. */
  connect(options?: Options, callback?: Callback): Client
  /** Ends the connection and does not reconnect. Events that it cannot send at once wait for the next connect. */
  close(): void

  /**
   * In a pattern, `*` is one part and `**` any number of parts. Names that start with `$mesh.` are messages of the hub
   * itself. For example, `$mesh.refused` reports events that the hub has rejected, which are also on the console.
   */
  on<T = any>(name: string, fn: Listener<T>): Client
  once<T = any>(name: string, fn: Listener<T>): Client
  /** Without fn, removes all listeners of exactly this name or pattern. */
  off(name: string, fn?: Listener): Client

  /**
   * Emits an event. Calls this client's own listeners before it returns. Throws a MeshError, and emits nothing, if the
   * name is reserved or invalid (`name`), the event has more than 1 MB as JSON (`too-large`), or more than 1 MiB would
   * wait to be sent (`queue-full`). Names that start with `$mesh.` are requests to the hub itself. They throw `no-hub`
   * if there is no connected hub that supports them.
   */
  emit(name: string, payload?: unknown): true

  /** Calls fn for each event that this client itself emits, and for no others. */
  onAny(fn: Listener): Client
  offAny(fn: Listener): Client

  /** Calls fn at each change of the state. */
  onState(fn: (this: Client, state: State) => void): Client
  offState(fn: (this: Client, state: State) => void): Client
}

export interface State {
  status: 'connecting' | 'connected' | 'disconnected'
  /** Empty unless connected. It may change once in a connection, to websocket. */
  transport: '' | 'polling' | 'websocket'
  /** null unless connected. */
  hub: Hub | null
  /** The reason why the connection ended or failed: a MeshError, or an error of the browser. null unless disconnected. */
  error: Error | null
  /** The number of attempts in a row that failed, or whose connection did not last 5 s. */
  attempt: number
  /**
   * Milliseconds until the next attempt. null: there will be no attempt, unless the page was left or frozen and
   * returns. The browser's event `online`, or a page that is visible again, starts the attempt at once.
   */
  retry: number | null
}

export interface Hub {
  /** true: a hub of the original mesh, or another hub that does not introduce itself. id and name are then empty. */
  node: boolean
  id: string
  name: string
}

export interface MeshError extends Error {
  code: 'name' | 'token' | 'too-large' | 'queue-full' | 'no-hub' | 'unauthorized' | 'transport'
}
