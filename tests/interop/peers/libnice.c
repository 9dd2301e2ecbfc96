/* A libnice agent behind the JSON Lines of `ice-probe stdio`, for one stream:
 * what one of the two prints, the other understands.
 *
 *   libnice-peer --controlling|--controlled [--stun ADDRESS:PORT]
 *                [--bind ADDRESS] [--components N] [--no-trickle]
 *                [--regular-nomination] [--tcp|--only-tcp]
 *                [--turn URI --user USER --pass PASSWORD]
 *
 * Without --bind libnice takes every address that is not loopback. With
 * --no-trickle candidates are printed only when gathering has ended, and the
 * peer's are given to libnice only when it has announced their end. As by
 * libnice's default every check of a controlling agent nominates; with
 * --regular-nomination it waits for better pairs, and offers "ice2". With --turn,
 * turn:ADDRESS:PORT[?transport=tcp], it has relayed candidates alone. */

#include <nice/agent.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COMPONENTS 16
/* libnice starts a new check every 20 ms (its property stun-pacing-timer). */
#define PACING_MS 20

typedef struct {
    GMainLoop *loop;
    NiceAgent *agent;
    guint stream;
    guint components;
    gboolean trickle;
    gchar *ufrag;
    gchar *remote_ufrag;
    gboolean restarting; /* and not answered yet */
    NiceComponentState component[MAX_COMPONENTS + 1];
    const char *state;
    GSList *remote; /* candidates kept back by --no-trickle */
} Peer;

static gboolean controlling, controlled, no_trickle, regular_nomination, tcp, only_tcp;
static gchar *stun, *bind_address, *turn, *user, *password;
static gint components = 1;

static const GOptionEntry options[] = {
    {"controlling", 0, 0, G_OPTION_ARG_NONE, &controlling, "take the controlling role", NULL},
    {"controlled", 0, 0, G_OPTION_ARG_NONE, &controlled, "take the controlled role", NULL},
    {"stun", 0, 0, G_OPTION_ARG_STRING, &stun, "STUN server", "ADDRESS:PORT"},
    {"turn", 0, 0, G_OPTION_ARG_STRING, &turn, "TURN server, for relayed candidates alone", "URI"},
    {"user", 0, 0, G_OPTION_ARG_STRING, &user, "the server's user", "USER"},
    {"pass", 0, 0, G_OPTION_ARG_STRING, &password, "the user's password", "PASSWORD"},
    {"bind", 0, 0, G_OPTION_ARG_STRING, &bind_address, "gather on this address only", "ADDRESS"},
    {"components", 0, 0, G_OPTION_ARG_INT, &components, "components of the stream", "N"},
    {"no-trickle", 0, 0, G_OPTION_ARG_NONE, &no_trickle, "exchange complete lists", NULL},
    {"regular-nomination", 0, 0, G_OPTION_ARG_NONE, &regular_nomination, "nominate once", NULL},
    {"tcp", 0, 0, G_OPTION_ARG_NONE, &tcp, "offer TCP candidates too", NULL},
    {"only-tcp", 0, 0, G_OPTION_ARG_NONE, &only_tcp, "offer TCP candidates only", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

/* Writes one object as a line and frees it. */
static void print_line(JsonObject *object)
{
    JsonNode *node = json_node_init_object(json_node_alloc(), object);
    gchar *line = json_to_string(node, FALSE);

    puts(line);
    fflush(stdout);
    g_free(line);
    json_node_unref(node);
    json_object_unref(object);
}

static JsonObject *line_of_type(const char *type)
{
    JsonObject *object = json_object_new();

    json_object_set_string_member(object, "type", type);
    return object;
}

static void print_error(const char *code, const char *message)
{
    JsonObject *object = line_of_type("error");

    json_object_set_string_member(object, "code", code);
    json_object_set_string_member(object, "message", message);
    print_line(object);
}

static void print_state(Peer *peer, const char *state)
{
    JsonObject *object;

    if (peer->state && strcmp(peer->state, state) == 0)
        return;
    peer->state = state;
    object = line_of_type("state");
    json_object_set_string_member(object, "state", state);
    print_line(object);
}

/* The candidate without the "a=" that libnice puts before it. */
static gchar *candidate_text(Peer *peer, NiceCandidate *candidate)
{
    gchar *sdp = nice_agent_generate_local_candidate_sdp(peer->agent, candidate);
    gchar *text = g_strdup(g_str_has_prefix(sdp, "a=") ? sdp + 2 : sdp);

    g_free(sdp);
    return text;
}

static void print_candidate(Peer *peer, NiceCandidate *candidate)
{
    JsonObject *object = line_of_type("candidate");
    gchar *text = candidate_text(peer, candidate);

    json_object_set_string_member(object, "candidate", text);
    json_object_set_string_member(object, "ufrag", peer->ufrag);
    print_line(object);
    g_free(text);
}

static void print_credentials(Peer *peer)
{
    JsonObject *object = line_of_type("credentials");
    JsonArray *list = json_array_new();
    gchar *ufrag, *pwd;

    if (!nice_agent_get_local_credentials(peer->agent, peer->stream, &ufrag, &pwd))
        exit(1);
    if (regular_nomination)
        json_array_add_string_element(list, "ice2");
    if (peer->trickle)
        json_array_add_string_element(list, "trickle");
    json_object_set_string_member(object, "ufrag", ufrag);
    json_object_set_string_member(object, "pwd", pwd);
    json_object_set_array_member(object, "options", list);
    json_object_set_int_member(object, "pacing", PACING_MS);
    json_object_set_boolean_member(object, "lite", FALSE);
    print_line(object);
    g_free(peer->ufrag);
    peer->ufrag = ufrag;
    g_free(pwd);
}

static void print_end_of_candidates(Peer *peer)
{
    JsonObject *object = line_of_type("end-of-candidates");

    json_object_set_string_member(object, "ufrag", peer->ufrag);
    print_line(object);
}

static void print_all_candidates(Peer *peer)
{
    guint component;

    for (component = 1; component <= peer->components; component++) {
        GSList *list = nice_agent_get_local_candidates(peer->agent, peer->stream, component);
        GSList *item;

        for (item = list; item; item = item->next)
            print_candidate(peer, item->data);
        g_slist_free_full(list, (GDestroyNotify)nice_candidate_free);
    }
    print_end_of_candidates(peer);
}

static void on_candidate(NiceAgent *agent, NiceCandidate *candidate, Peer *peer)
{
    (void)agent;
    if (peer->trickle)
        print_candidate(peer, candidate);
}

static void on_gathered(NiceAgent *agent, guint stream, Peer *peer)
{
    (void)agent;
    (void)stream;
    if (peer->trickle)
        print_end_of_candidates(peer);
    else
        print_all_candidates(peer);
}

/* libnice keeps its sockets and candidates, and the selected pair until there
 * is another. */
static void restart(Peer *peer)
{
    nice_agent_restart(peer->agent);
    g_slist_free_full(peer->remote, (GDestroyNotify)nice_candidate_free);
    peer->remote = NULL;
    print_credentials(peer);
    print_all_candidates(peer);
}

/* The stream is as far as the component that is furthest behind. */
static void on_component_state(NiceAgent *agent, guint stream, guint component, guint state,
                               Peer *peer)
{
    gboolean checking = FALSE, connected = TRUE, completed = TRUE, failed = FALSE;
    guint i;

    (void)agent;
    (void)stream;
    if (component <= MAX_COMPONENTS)
        peer->component[component] = (NiceComponentState)state;
    for (i = 1; i <= peer->components; i++) {
        NiceComponentState one = peer->component[i];

        failed = failed || one == NICE_COMPONENT_STATE_FAILED;
        checking = checking || one == NICE_COMPONENT_STATE_CONNECTING;
        completed = completed && one == NICE_COMPONENT_STATE_READY;
        connected = connected &&
            (one == NICE_COMPONENT_STATE_READY || one == NICE_COMPONENT_STATE_CONNECTED);
    }
    if (failed)
        print_state(peer, "failed");
    else if (completed)
        print_state(peer, "completed");
    else if (connected)
        print_state(peer, "connected");
    else if (checking)
        print_state(peer, "checking");
}

static void on_selected(NiceAgent *agent, guint stream, guint component, NiceCandidate *local,
                        NiceCandidate *remote, Peer *peer)
{
    JsonObject *object = line_of_type("selected");
    gchar *local_text = candidate_text(peer, local);
    gchar *remote_text = candidate_text(peer, remote);

    (void)agent;
    (void)stream;
    json_object_set_int_member(object, "component", component);
    json_object_set_string_member(object, "local", local_text);
    json_object_set_string_member(object, "remote", remote_text);
    print_line(object);
    g_free(local_text);
    g_free(remote_text);
}

static void on_datagram(NiceAgent *agent, guint stream, guint component, guint length,
                        gchar *bytes, gpointer data)
{
    JsonObject *object = line_of_type("received");

    (void)agent;
    (void)stream;
    (void)data;
    json_object_set_int_member(object, "component", component);
    if (g_utf8_validate(bytes, length, NULL)) {
        gchar *text = g_strndup(bytes, length);

        json_object_set_string_member(object, "text", text);
        g_free(text);
    } else {
        gchar *text = g_base64_encode((const guchar *)bytes, length);

        json_object_set_string_member(object, "base64", text);
        g_free(text);
    }
    print_line(object);
}

static const char *text_of(JsonObject *object, const char *key)
{
    JsonNode *node = json_object_get_member(object, key);

    if (!node || !JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING)
        return NULL;
    return json_node_get_string(node);
}

static void take_remote_candidates(Peer *peer)
{
    guint component;

    for (component = 1; component <= peer->components; component++) {
        GSList *part = NULL, *item;

        for (item = peer->remote; item; item = item->next)
            if (((NiceCandidate *)item->data)->component_id == component)
                part = g_slist_prepend(part, item->data);
        if (part)
            nice_agent_set_remote_candidates(peer->agent, peer->stream, component, part);
        g_slist_free(part);
    }
    g_slist_free_full(peer->remote, (GDestroyNotify)nice_candidate_free);
    peer->remote = NULL;
}

static void take_candidate(Peer *peer, const char *text)
{
    gchar *sdp = g_strconcat(g_str_has_prefix(text, "a=") ? "" : "a=", text, NULL);
    NiceCandidate *candidate =
        nice_agent_parse_remote_candidate_sdp(peer->agent, peer->stream, sdp);

    g_free(sdp);
    if (!candidate) {
        print_error("bad-input", "libnice does not take this candidate");
        return;
    }
    peer->remote = g_slist_append(peer->remote, candidate);
    if (peer->trickle)
        take_remote_candidates(peer);
}

/* Others than before restart, unless they answer a restart of ours. */
static void take_credentials(Peer *peer, const char *ufrag, const char *pwd)
{
    if (g_strcmp0(peer->remote_ufrag, ufrag) == 0)
        return;
    if (peer->remote_ufrag && !peer->restarting)
        restart(peer);
    peer->restarting = FALSE;
    g_free(peer->remote_ufrag);
    peer->remote_ufrag = g_strdup(ufrag);
    if (!nice_agent_set_remote_credentials(peer->agent, peer->stream, ufrag, pwd))
        print_error("bad-input", "libnice does not take these credentials");
}

static void take_payload(Peer *peer, JsonObject *object)
{
    guint component = (guint)json_object_get_int_member_with_default(object, "component", 1);
    const char *text = text_of(object, "text");
    const char *encoded = text_of(object, "base64");
    gsize length = text ? strlen(text) : 0;
    guchar *decoded = encoded ? g_base64_decode(encoded, &length) : NULL;
    const gchar *bytes = decoded ? (const gchar *)decoded : text;

    if (!bytes)
        print_error("bad-input", "send needs text or base64");
    else if (nice_agent_send(peer->agent, peer->stream, component, (guint)length, bytes) < 0)
        print_error("not-connected", "libnice did not send");
    g_free(decoded);
}

static void take_line(Peer *peer, JsonObject *object)
{
    const char *type = text_of(object, "type");

    if (!type) {
        print_error("bad-input", "a line needs a type");
    } else if (strcmp(type, "credentials") == 0) {
        const char *ufrag = text_of(object, "ufrag");
        const char *pwd = text_of(object, "pwd");

        if (ufrag && pwd)
            take_credentials(peer, ufrag, pwd);
        else
            print_error("bad-input", "credentials need ufrag and pwd");
    } else if (strcmp(type, "candidate") == 0) {
        const char *text = text_of(object, "candidate");

        if (text)
            take_candidate(peer, text);
        else
            print_error("bad-input", "candidate needs a candidate");
    } else if (strcmp(type, "end-of-candidates") == 0) {
        take_remote_candidates(peer);
        if (peer->trickle)
            nice_agent_peer_candidate_gathering_done(peer->agent, peer->stream);
    } else if (strcmp(type, "send") == 0) {
        take_payload(peer, object);
    } else if (strcmp(type, "restart") == 0) {
        peer->restarting = TRUE;
        restart(peer);
    } else if (strcmp(type, "close") == 0) {
        g_main_loop_quit(peer->loop);
    }
}

static gboolean on_input(GIOChannel *channel, GIOCondition condition, gpointer data)
{
    Peer *peer = data;
    gchar *line = NULL;
    JsonNode *node;

    (void)condition;
    if (g_io_channel_read_line(channel, &line, NULL, NULL, NULL) != G_IO_STATUS_NORMAL) {
        g_main_loop_quit(peer->loop);
        return FALSE;
    }
    node = json_from_string(line, NULL);
    if (node && JSON_NODE_HOLDS_OBJECT(node))
        take_line(peer, json_node_get_object(node));
    else
        print_error("bad-input", "a line must be a JSON object");
    g_clear_pointer(&node, json_node_unref);
    g_free(line);
    return TRUE;
}

static void configure(NiceAgent *agent)
{
    g_object_set(agent, "controlling-mode", controlling, "ice-tcp", tcp || only_tcp, "ice-udp",
                 !only_tcp, "upnp", FALSE, NULL);
    if (stun) {
        gchar *colon = strrchr(stun, ':');

        if (!colon) {
            fprintf(stderr, "--stun needs ADDRESS:PORT\n");
            exit(2);
        }
        *colon = '\0';
        g_object_set(agent, "stun-server", stun, "stun-server-port", atoi(colon + 1), NULL);
    }
    if (bind_address) {
        NiceAddress address;

        nice_address_init(&address);
        if (!nice_address_set_from_string(&address, bind_address) ||
            !nice_agent_add_local_address(agent, &address)) {
            fprintf(stderr, "--bind: %s is no address\n", bind_address);
            exit(2);
        }
    }
}

/* Each component has to be told of the server. */
static void configure_relay(Peer *peer)
{
    const char *scheme = "turn:", *query = "?transport=tcp";
    gboolean over_tcp = g_str_has_suffix(turn, query);
    gchar *server = g_strndup(turn, strlen(turn) - (over_tcp ? strlen(query) : 0));
    gchar *colon = strrchr(server, ':');
    gchar *host = server + strlen(scheme);
    guint component;

    if (!g_str_has_prefix(server, scheme) || colon < host || !user || !password) {
        fprintf(stderr, "--turn needs turn:ADDRESS:PORT, --user and --pass\n");
        exit(2);
    }
    *colon = '\0';
    g_object_set(peer->agent, "force-relay", TRUE, NULL);
    for (component = 1; component <= peer->components; component++)
        if (!nice_agent_set_relay_info(peer->agent, peer->stream, component, host,
                                       (guint)atoi(colon + 1), user, password,
                                       over_tcp ? NICE_RELAY_TYPE_TURN_TCP
                                                : NICE_RELAY_TYPE_TURN_UDP)) {
            fprintf(stderr, "libnice does not take --turn\n");
            exit(2);
        }
    g_free(server);
}

/* The relays are given back first. */
static void on_closed(GObject *agent, GAsyncResult *result, gpointer loop)
{
    (void)agent;
    (void)result;
    g_main_loop_quit(loop);
}

int main(int argc, char **argv)
{
    Peer peer = {0};
    GOptionContext *context = g_option_context_new(NULL);
    GError *error = NULL;
    GIOChannel *input;
    guint i;

    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || controlling == controlled ||
        components < 1 || components > MAX_COMPONENTS) {
        fprintf(stderr, "%s\n", error ? error->message : "wrong usage: see --help");
        return 2;
    }
    g_option_context_free(context);

    peer.loop = g_main_loop_new(NULL, FALSE);
    peer.components = (guint)components;
    peer.trickle = !no_trickle;
    peer.agent = nice_agent_new_full(
        NULL, NICE_COMPATIBILITY_RFC5245,
        (NiceAgentOption)((regular_nomination ? NICE_AGENT_OPTION_REGULAR_NOMINATION : 0) |
                          (peer.trickle ? NICE_AGENT_OPTION_ICE_TRICKLE : 0)));
    configure(peer.agent);
    g_signal_connect(peer.agent, "new-candidate-full", G_CALLBACK(on_candidate), &peer);
    g_signal_connect(peer.agent, "candidate-gathering-done", G_CALLBACK(on_gathered), &peer);
    g_signal_connect(peer.agent, "component-state-changed", G_CALLBACK(on_component_state), &peer);
    g_signal_connect(peer.agent, "new-selected-pair-full", G_CALLBACK(on_selected), &peer);

    peer.stream = nice_agent_add_stream(peer.agent, peer.components);
    if (turn)
        configure_relay(&peer);
    /* generate_local_candidate_sdp and its reader want the stream named. */
    nice_agent_set_stream_name(peer.agent, peer.stream, "application");
    for (i = 1; i <= peer.components; i++)
        nice_agent_attach_recv(peer.agent, peer.stream, i, NULL, on_datagram, &peer);
    print_credentials(&peer);
    print_state(&peer, "new");
    if (!nice_agent_gather_candidates(peer.agent, peer.stream)) {
        print_error("internal", "libnice found no address to gather on");
        return 1;
    }

    input = g_io_channel_unix_new(0);
    g_io_add_watch(input, G_IO_IN | G_IO_HUP, on_input, &peer);
    g_main_loop_run(peer.loop);
    g_io_channel_unref(input);
    nice_agent_close_async(peer.agent, on_closed, peer.loop);
    g_main_loop_run(peer.loop);
    print_state(&peer, "closed");
    g_object_unref(peer.agent);
    g_main_loop_unref(peer.loop);
    g_free(peer.ufrag);
    g_free(peer.remote_ufrag);
    return 0;
}
