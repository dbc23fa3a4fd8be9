package storetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/loopback"
)

// Proxy stands before a server and breaks connections when it is told to. It knows
// nothing of HTTP.
type Proxy struct {
	Server      // as it is reached through the proxy
	api, server string
}

// Toxic is something that the proxy does to connections; see the documentation of
// toxiproxy for types and attributes.
type Toxic struct {
	Type       string         `json:"type"`
	Stream     string         `json:"stream"` // upstream, which is to the server, or downstream
	Attributes map[string]any `json:"attributes"`
}

// Toxiproxy starts a proxy before a server. It runs until the test ends.
func Toxiproxy(t testing.TB, s Server) *Proxy {
	t.Helper()
	address, err := loopback.FreeAddress()
	require.NoError(t, err)
	running, err := loopback.Start(t.Context(), func(api string) *exec.Cmd {
		host, port, _ := strings.Cut(api, ":")
		return exec.Command(binary(t, "toxiproxy"), "-host", host, "-port", port)
	})
	require.NoError(t, err)
	t.Cleanup(running.Close)
	p := &Proxy{Server: s, api: "http://" + running.Address + "/proxies", server: strings.TrimPrefix(s.Endpoint, "http://")}
	p.Endpoint = "http://" + address
	require.NoError(t, p.ask("", map[string]any{"name": "s3", "listen": address, "upstream": p.server, "enabled": true}))
	return p
}

// Poison does something to all connections, those that are open included.
func (p *Proxy) Poison(toxics ...Toxic) error {
	for _, toxic := range toxics {
		if err := p.ask("/s3/toxics", toxic); err != nil {
			return err
		}
	}
	return nil
}

// Cut closes all connections and refuses new ones until the proxy is healed.
func (p *Proxy) Cut() error { return p.ask("/s3", map[string]any{"enabled": false}) }

// Heal ends everything that is done to connections.
func (p *Proxy) Heal() error {
	if err := p.ask("/s3", map[string]any{"enabled": true}); err != nil {
		return err
	}
	return p.send(strings.TrimSuffix(p.api, "/proxies")+"/reset", nil)
}

func (p *Proxy) ask(path string, question any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	return p.send(p.api+path, body)
}

func (p *Proxy) send(url string, body []byte) error {
	answer, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= http.StatusBadRequest {
		text, _ := io.ReadAll(answer.Body) // only to be shown
		return fmt.Errorf("toxiproxy: %s: %s: %s", url, answer.Status, text)
	}
	return nil
}
