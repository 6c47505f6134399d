// Types of /mesh.mjs, and of what /mesh.js puts into the global `mesh`.

/**
 * Connects to a hub and returns at once; events wait until there is a connection. The callback is called once: when the
 * hub has answered, or has refused the user and password, or token. Throws if the options make no address, or the token is
 * none (`token`).
 */
export function connect(options?: Options, callback?: Callback): Client

/** What /mesh.js offers: `declare const mesh: import('./mesh').Global`. */
export interface Global {
  /** As the module's; a second call makes another client, and that the emitter. */
  connect(options?: Options, callback?: Callback): Client
  /** The same as connect, for pages of the original mesh. */
  start(options?: Options, callback?: Callback): Client
  /** The client that connect returned last. Before the first call, the one that it will return. */
  emitter: Client
}

/** Where the hub is. What is left open is as at the server that the script came from, or in the script's `?hub=URL`. */
export interface Options {
  /** http or https, with the path of Engine.IO unless that is /engine.io/. */
  url?: string
  /** A name or address, with or without a port. */
  host?: string
  port?: number | string
  /** Of Engine.IO. */
  path?: string
  /** https and wss, or http and ws. */
  secure?: boolean
  user?: string
  password?: string
  /**
   * What the hub may ask for instead: characters that one can see. A session that starts with polling has it in a header,
   * one that starts with websocket in its query, where a proxy may log it.
   */
  token?: string
  /** Shown to people who look at the mesh. */
  name?: string
  /**
   * The first is what a session starts with. Default: polling, then websocket if one gets through. Where there is no
   * WebSocket, such as in Node.js before 22, polling only; connect throws if polling is not in the list.
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

/** `this` is the client, with the event's name in `this.event`. What a listener throws reaches window.onerror. */
export type Listener<T = any> = (this: Client, payload: T, event: MeshEvent<T>) => void

export interface MeshEvent<T = any> {
  event: string
  /** undefined if the event has none. */
  payload: T
  /** ID of the node that emitted it; empty where the hub does not tell. */
  from: string
}

export interface Client {
  /** This node's ID, known from the first connection on. */
  readonly id: string
  readonly state: State
  /** The client itself, as in the original. */
  readonly emitter: Client
  /** Name of the event whose listener is running. */
  readonly event: string

  /** Connects to another hub, or with another user; listeners, and events that wait, are kept. */
  connect(options?: Options, callback?: Callback): Client
  /** Ends the connection and does not reconnect. What cannot leave at once waits for the next connect. */
  close(): void

  /** Parts of a pattern are `*`, one part, or `**`, any number. A name that starts with `$mesh.` is the hub's own. */
  on<T = any>(name: string, fn: Listener<T>): Client
  once<T = any>(name: string, fn: Listener<T>): Client
  /** Takes off all listeners of this very name or pattern if fn is not given. */
  off(name: string, fn?: Listener): Client

  /**
   * Emits an event. This client's own listeners are called before it returns. Throws a MeshError, and emits nothing, if
   * nobody may emit the name (`name`), the event has more than 1 MB as JSON (`too-large`), or 1 MiB would wait to be
   * sent (`queue-full`). Names that start with `$mesh.` ask the hub something: `no-hub` if there is none that knows them.
   */
  emit(name: string, payload?: unknown): true

  /** Hears what this client itself emits, and nothing else. */
  onAny(fn: Listener): Client
  offAny(fn: Listener): Client

  /** Hears each change of state. */
  onState(fn: (this: Client, state: State) => void): Client
  offState(fn: (this: Client, state: State) => void): Client
}

export interface State {
  status: 'connecting' | 'connected' | 'disconnected'
  /** Empty unless connected; then it may change once, to websocket. */
  transport: '' | 'polling' | 'websocket'
  /** null unless connected. */
  hub: Hub | null
  /** Why the connection ended, or could not be made; a MeshError, or the browser's own. null unless disconnected. */
  error: Error | null
  /** How many attempts in a row have failed, or made a connection that did not last 5 s. */
  attempt: number
  /**
   * Milliseconds until the next attempt; null: there will be none, unless the page was left or frozen and returns. The
   * browser's event `online`, or a page that is visible again, starts the attempt at once.
   */
  retry: number | null
}

export interface Hub {
  /** true: a hub of the original mesh, or another that does not introduce itself. The rest is then empty. */
  node: boolean
  id: string
  name: string
}

export interface MeshError extends Error {
  code: 'name' | 'token' | 'too-large' | 'queue-full' | 'no-hub' | 'unauthorized' | 'transport'
}
