// A pion/ice agent behind the JSON Lines of `ice-probe stdio`.
//
//	pion-peer --controlling|--controlled [--stun ADDRESS:PORT]
//	          [--no-trickle] [--ipv4-only] [--loopback] [--only-tcp]
//	          [--turn URI --user USER --pass PASSWORD]
//
// pion has one component. It lets data through from the moment at which it
// selects a pair and has no state beyond that one, so that `connected` and
// `completed` come together. A restart closes its sockets: no data passes
// until it has selected again. It hides mDNS names from itself here. Over TCP
// it accepts connections and opens none. With --turn it has relayed candidates
// alone.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/pion/ice/v2"
)

const (
	maxLine     = 64 * 1024
	maxDatagram = 64 * 1024
	// pion pings every candidate pair once in 200 ms, without pacing.
	pacingMs = 50
	// Of a TCP connection: packets to read, and bytes to write.
	queue       = 64
	writeBuffer = 4 * 1024 * 1024
	// How long after the state "connected" the connection may come.
	handedOver = 2 * time.Second
)

type object = map[string]interface{}

// line is what may come in.
type line struct {
	Type      string  `json:"type"`
	Ufrag     string  `json:"ufrag"`
	Pwd       string  `json:"pwd"`
	Candidate string  `json:"candidate"`
	Text      *string `json:"text"`
	Base64    *string `json:"base64"`
}

type peer struct {
	agent       *ice.Agent
	controlling bool
	trickle     bool
	output      sync.Mutex

	// Closed when there is a connection.
	connected chan struct{}
	conn      *ice.Conn

	mutex       sync.Mutex
	dialled     bool
	remoteUfrag string
	localUfrag  string
	// Of the current generation; kept back by --no-trickle.
	local  []string
	remote []string
}

func (p *peer) print(kind string, members object) {
	members["type"] = kind
	text, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	p.output.Lock()
	defer p.output.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

func (p *peer) printError(code, message string) {
	p.print("error", object{"code": code, "message": message})
}

func (p *peer) printState(state string) {
	p.print("state", object{"state": state})
}

func (p *peer) printPayload(payload []byte) {
	members := object{"component": 1}
	if utf8.Valid(payload) {
		members["text"] = string(payload)
	} else {
		members["base64"] = base64.StdEncoding.EncodeToString(payload)
	}
	p.print("received", members)
}

// announce prints the credentials of a new generation and gathers for it.
func (p *peer) announce() error {
	ufrag, pwd, err := p.agent.GetLocalUserCredentials()
	if err != nil {
		return err
	}
	p.mutex.Lock()
	p.localUfrag, p.local = ufrag, nil
	p.mutex.Unlock()
	options := []string{}
	if p.trickle {
		options = append(options, "trickle")
	}
	p.print("credentials", object{
		"ufrag": ufrag, "pwd": pwd, "options": options, "pacing": pacingMs, "lite": false,
	})
	return p.agent.GatherCandidates()
}

// onCandidate gets every candidate, and nil at their end.
func (p *peer) onCandidate(candidate ice.Candidate) {
	p.mutex.Lock()
	ufrag := p.localUfrag
	ready := []string{}
	if candidate != nil {
		text := "candidate:" + candidate.Marshal()
		if p.trickle {
			ready = append(ready, text)
		} else {
			p.local = append(p.local, text)
		}
	} else {
		ready, p.local = append(ready, p.local...), nil
	}
	p.mutex.Unlock()
	for _, text := range ready {
		p.print("candidate", object{"candidate": text, "ufrag": ufrag})
	}
	if candidate == nil {
		p.print("end-of-candidates", object{"ufrag": ufrag})
	}
}

func (p *peer) onState(state ice.ConnectionState) {
	switch state {
	case ice.ConnectionStateChecking:
		p.printState("checking")
	case ice.ConnectionStateConnected:
		p.printState("connected")
		p.printState("completed")
	case ice.ConnectionStateDisconnected:
		p.printState("disconnected")
	case ice.ConnectionStateFailed:
		p.printState("failed")
	}
}

func (p *peer) onSelected(local, remote ice.Candidate) {
	p.print("selected", object{
		"component": 1,
		"local":     "candidate:" + local.Marshal(),
		"remote":    "candidate:" + remote.Marshal(),
	})
}

// credentials starts the checks; later ones of another generation restart.
func (p *peer) credentials(ufrag, pwd string) error {
	if !p.dialled {
		p.dialled, p.remoteUfrag = true, ufrag
		go p.connect(ufrag, pwd)
		return nil
	}
	if ufrag == p.remoteUfrag {
		return nil
	}
	// Whoever has restarted itself has no remote credentials now.
	if current, _, err := p.agent.GetRemoteUserCredentials(); err != nil || current != "" {
		if err := p.restart(); err != nil {
			return err
		}
	}
	p.remoteUfrag = ufrag
	return p.agent.SetRemoteCredentials(ufrag, pwd)
}

func (p *peer) restart() error {
	p.remote = nil
	if err := p.agent.Restart("", ""); err != nil {
		return err
	}
	return p.announce()
}

// connect waits for the first selected pair and reads from then on.
func (p *peer) connect(ufrag, pwd string) {
	dial := p.agent.Accept
	if p.controlling {
		dial = p.agent.Dial
	}
	conn, err := dial(context.Background(), ufrag, pwd)
	if err != nil {
		return // It was closed.
	}
	p.conn = conn
	close(p.connected)
	buffer := make([]byte, maxDatagram)
	for {
		length, err := conn.Read(buffer)
		if err != nil {
			return
		}
		p.printPayload(buffer[:length])
	}
}

func (p *peer) addRemote(text string) error {
	raw := strings.TrimPrefix(strings.TrimPrefix(text, "a="), "candidate:")
	candidate, err := ice.UnmarshalCandidate(raw)
	if err != nil {
		return err
	}
	return p.agent.AddRemoteCandidate(candidate)
}

func (p *peer) send(in *line) error {
	var payload []byte
	switch {
	case in.Text != nil:
		payload = []byte(*in.Text)
	case in.Base64 != nil:
		decoded, err := base64.StdEncoding.DecodeString(*in.Base64)
		if err != nil {
			return err
		}
		payload = decoded
	default:
		return fmt.Errorf("send needs text or base64")
	}
	select {
	case <-p.connected:
		_, err := p.conn.Write(payload)
		return err
	case <-time.After(handedOver):
		p.printError("not-connected", "no pair is selected")
		return nil
	}
}

// take does what a line asks for.
func (p *peer) take(in *line) error {
	switch in.Type {
	case "credentials":
		return p.credentials(in.Ufrag, in.Pwd)
	case "candidate":
		if !p.trickle {
			p.remote = append(p.remote, in.Candidate)
			return nil
		}
		return p.addRemote(in.Candidate)
	case "end-of-candidates":
		kept := p.remote
		p.remote = nil
		for _, text := range kept {
			if err := p.addRemote(text); err != nil {
				return err
			}
		}
	case "send":
		return p.send(in)
	case "restart":
		return p.restart()
	}
	return nil
}

func run() error {
	controlling := flag.Bool("controlling", false, "take the controlling role")
	controlled := flag.Bool("controlled", false, "take the controlled role")
	stun := flag.String("stun", "", "STUN server, `ADDRESS:PORT`")
	noTrickle := flag.Bool("no-trickle", false, "exchange complete lists")
	ipv4Only := flag.Bool("ipv4-only", false, "no IPv6 candidates")
	loopback := flag.Bool("loopback", false, "loopback candidates too")
	onlyTCP := flag.Bool("only-tcp", false, "passive TCP candidates, and no others")
	turn := flag.String("turn", "", "TURN server, `URI`")
	user := flag.String("user", "", "the server's user")
	password := flag.String("pass", "", "the user's password")
	flag.Parse()
	if *controlling == *controlled {
		return fmt.Errorf("either --controlling or --controlled")
	}
	config := ice.AgentConfig{
		CandidateTypes:   []ice.CandidateType{ice.CandidateTypeHost},
		MulticastDNSMode: ice.MulticastDNSModeDisabled,
		IncludeLoopback:  *loopback,
	}
	v4, v6 := ice.NetworkTypeUDP4, ice.NetworkTypeUDP6
	if *onlyTCP {
		v4, v6 = ice.NetworkTypeTCP4, ice.NetworkTypeTCP6
		listener, err := net.Listen("tcp", ":0")
		if err != nil {
			return err
		}
		mux := ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener: listener, ReadBufferSize: queue, WriteBufferSize: writeBuffer,
		})
		defer mux.Close()
		config.TCPMux = mux
	}
	config.NetworkTypes = []ice.NetworkType{v4}
	if !*ipv4Only {
		config.NetworkTypes = append(config.NetworkTypes, v6)
	}
	if *stun != "" {
		url, err := ice.ParseURL("stun:" + *stun)
		if err != nil {
			return err
		}
		config.Urls = append(config.Urls, url)
		config.CandidateTypes = append(config.CandidateTypes, ice.CandidateTypeServerReflexive)
	}
	if *turn != "" {
		url, err := ice.ParseURL(*turn)
		if err != nil {
			return err
		}
		url.Username, url.Password = *user, *password
		config.Urls = append(config.Urls, url)
		config.CandidateTypes = []ice.CandidateType{ice.CandidateTypeRelay}
	}
	agent, err := ice.NewAgent(&config)
	if err != nil {
		return err
	}
	p := &peer{agent: agent, controlling: *controlling, trickle: !*noTrickle, connected: make(chan struct{})}
	if err := agent.OnCandidate(p.onCandidate); err != nil {
		return err
	}
	if err := agent.OnConnectionStateChange(p.onState); err != nil {
		return err
	}
	if err := agent.OnSelectedCandidatePairChange(p.onSelected); err != nil {
		return err
	}
	if err := p.announce(); err != nil {
		return err
	}
	p.printState("new")
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(make([]byte, 0, maxLine), maxLine)
	for input.Scan() {
		in := &line{}
		if err := json.Unmarshal(input.Bytes(), in); err != nil {
			p.printError("bad-input", err.Error())
			continue
		}
		if in.Type == "close" {
			break
		}
		if err := p.take(in); err != nil {
			p.printError("bad-input", err.Error())
		}
	}
	err = agent.Close()
	p.printState("closed")
	return err
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
