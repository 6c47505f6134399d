// Requests to the hub about nodes. nodes.js has its own requests, which also subscribe to presence.

const PATIENCE = 5000 // milliseconds to wait for a response

// asker returns a function that sends the hub a request $mesh.nodes, and returns a promise of the response.
export function asker (client) {
  const waiting = new Map() // by rid: the function for the response
  let last = 0

  client.on('$mesh.nodes', answer => answer && waiting.has(answer.rid) && waiting.get(answer.rid)(answer))
  return question => new Promise((resolve, reject) => {
    const rid = 'ask-' + ++last
    const end = answer => {
      clearTimeout(timer)
      waiting.delete(rid)
      if (answer.error) reject(new Error(String(answer.message)))
      else resolve(answer)
    }
    const timer = setTimeout(end, PATIENCE, { error: 'silent', message: 'it does not reply' })
    waiting.set(rid, end)
    try {
      client.emit('$mesh.nodes', { ...question, rid })
    } catch (error) { // there is no connected hub
      end({ error: 'no-hub', message: 'there is no connection' })
    }
  })
}
