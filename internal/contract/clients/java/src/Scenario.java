import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import dev.ocore.audit.ApiClient;
import dev.ocore.audit.ApiException;
import dev.ocore.audit.ApiResponse;
import dev.ocore.audit.api.AdminApi;
import dev.ocore.audit.api.AuditApi;
import dev.ocore.audit.model.AuditLogField;
import dev.ocore.audit.model.ExportFormat;
import dev.ocore.audit.model.NewAdminAuditLog;
import dev.ocore.audit.model.NewAuditLog;
import dev.ocore.audit.model.NewAuditLogBatch;
import dev.ocore.audit.model.Problem;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.commons.csv.CSVFormat;
import org.apache.commons.csv.CSVParser;
import org.apache.commons.csv.CSVRecord;

/**
 * Plays the scenario of internal/contract through the client that openapi-generator makes:
 * Java's own HTTP client, Jackson. {@code call} maps an operation to the generated method; the
 * rest knows no operation. What is compared has been through the client's own types.
 */
public final class Scenario {
  private static final ObjectMapper JSON = ApiClient.createDefaultObjectMapper();
  private static final Pattern VARIABLE = Pattern.compile("\\$\\{(\\w+)}");
  private static final Pattern MANY = Pattern.compile("\\$\\{x\\*(\\d+)}");

  private final Map<String, JsonNode> saved = new TreeMap<>();

  private record Answer(int status, Map<String, String> headers, JsonNode value, String problem) {}

  private Scenario() {}

  public static void main(String[] arguments) throws IOException {
    JsonNode told = JSON.readTree(new File(arguments[0]));
    System.exit(new Scenario().play(told, new PrintStream(System.out, true, StandardCharsets.UTF_8)) == 0 ? 0 : 1);
  }

  private int play(JsonNode told, PrintStream out) {
    saved.put("run", TextNode.valueOf("jv" + Long.toString(System.currentTimeMillis(), 36)));
    told.get("variables").properties().forEach(v -> saved.put(v.getKey(), expand(v.getValue())));
    int failed = 0;
    for (JsonNode step : told.get("steps")) {
      String name = step.get("name").asText();
      try {
        hold(step.get("expect"), answer(step));
        out.println("ok   java: " + name);
      } catch (Exception | AssertionError e) {
        failed++;
        out.println("FAIL java: " + name + ": " + e);
      }
    }
    out.printf("java: %d passed, %d failed%n", told.get("steps").size() - failed, failed);
    return failed;
  }

  private Answer answer(JsonNode step) throws ApiException, IOException, InterruptedException {
    String holder = step.path("as").asText("TOKEN");
    String token = System.getenv().getOrDefault(holder, holder);
    ApiClient client = new ApiClient();
    client.updateBaseUri(System.getenv("OCORE_AUDIT_URL") + "/api");
    client.setRequestInterceptor(
        request -> {
          request.setHeader("Authorization", "Bearer " + token);
          if (step.has("contentType")) request.setHeader("Content-Type", step.get("contentType").asText());
        });
    ObjectNode given = step.has("arguments") ? (ObjectNode) expand(step.get("arguments")) : JSON.createObjectNode();
    try {
      Answer got = call(client, step, given);
      if (step.path("walk").asBoolean()) walk(client, step, given, (ObjectNode) got.value);
      return got;
    } catch (ApiException e) {
      if (e.getResponseBody() == null) throw e;
      // The native library leaves the document of an error as text.
      Problem problem = JSON.readValue(e.getResponseBody(), Problem.class);
      String type = problem.getType().toString();
      return new Answer(e.getCode(), flat(e.getResponseHeaders().map()), JSON.valueToTree(problem), type.substring(type.lastIndexOf('/') + 1));
    }
  }

  private Answer call(ApiClient client, JsonNode step, ObjectNode given) throws ApiException, IOException, InterruptedException {
    AuditApi audit = new AuditApi(client);
    AdminApi admin = new AdminApi(client);
    JsonNode body = step.has("body") ? expand(step.get("body")) : NullNode.instance;
    String organization = text(given, "X-Org-Slug");
    String cursor = text(given, "cursor");
    String type = text(given, "resource_type");
    String id = text(given, "resource_id");
    String action = text(given, "action");
    String user = text(given, "user_id");
    List<String> noTypes = texts(given, "exclude_resource_type");
    List<String> noIds = texts(given, "exclude_resource_id");
    List<String> noActions = texts(given, "exclude_action");
    List<String> noUsers = texts(given, "exclude_user_id");
    String start = text(given, "start_date");
    String end = text(given, "end_date");
    Long page = given.has("page") ? given.get("page").asLong() : null;
    Integer perPage = given.has("per_page") ? given.get("per_page").asInt() : null;
    Boolean withProof = given.has("with_proof") ? given.get("with_proof").asBoolean() : null;
    Integer limit = given.has("limit") ? given.get("limit").asInt() : null;
    return switch (step.get("call").asText()) {
      case "createAuditLog" -> plain(audit.createAuditLogWithHttpInfo(JSON.treeToValue(body, NewAuditLog.class), organization));
      case "createAuditLogBatch" -> plain(audit.createAuditLogBatchWithHttpInfo(JSON.treeToValue(body, NewAuditLogBatch.class), organization));
      case "getAuditLog" -> plain(audit.getAuditLogWithHttpInfo(text(given, "id"), organization));
      case "getAuditLogProof" -> plain(audit.getAuditLogProofWithHttpInfo(text(given, "id"), organization));
      case "getAuditLogCheckpoint" -> plain(audit.getAuditLogCheckpointWithHttpInfo(organization));
      case "getAuditLogConsistency" -> plain(audit.getAuditLogConsistencyWithHttpInfo(size(given, "from"), organization, size(given, "to")));
      case "listAuditLogKeys" -> plain(audit.listAuditLogKeysWithHttpInfo(organization));
      case "listAuditLogs" -> plain(audit.listAuditLogsWithHttpInfo(organization, page, perPage, cursor, type, id, action, user, noTypes, noIds, noActions, noUsers, start, end));
      case "listResourceAuditLogs" -> plain(audit.listResourceAuditLogsWithHttpInfo(
          text(given, "type"), text(given, "id"), organization, page, perPage, cursor, type, id, action, user, noTypes, noIds, noActions, noUsers, start, end));
      case "exportAuditLogs" -> "csv".equals(text(given, "format"))
          ? exportCsv(client, given)
          : plain(audit.exportAuditLogsWithHttpInfo(organization, ExportFormat.JSON, withProof, cursor, type, id, action, user, noTypes, noIds, noActions, noUsers, start, end, page, perPage));
      case "getAuditLogHistogram" -> plain(audit.getAuditLogHistogramWithHttpInfo(
          organization, given.has("buckets") ? given.get("buckets").asInt() : null, type, id, action, user, noTypes, noIds, noActions, noUsers, start, end));
      case "listAuditLogFacets" -> plain(audit.listAuditLogFacetsWithHttpInfo(
          organization, AuditLogField.fromValue(text(given, "field")), type, id, action, user, noTypes, noIds, noActions, noUsers, start, end));
      case "listAuditLogValues" -> plain(audit.listAuditLogValuesWithHttpInfo(organization, AuditLogField.fromValue(text(given, "field")), text(given, "prefix")));
      case "tailAuditLogs" -> tail(client, given);
      case "createAdminAuditLog" -> plain(admin.createAdminAuditLogWithHttpInfo(JSON.treeToValue(body, NewAdminAuditLog.class)));
      case "listAdminAuditLogs" -> plain(admin.listAdminAuditLogsWithHttpInfo(page, limit, cursor, action, noActions, text(given, "search")));
      case "getAdminAuditLogProof" -> plain(admin.getAdminAuditLogProofWithHttpInfo(text(given, "id")));
      case "listAdminAuditLogKeys" -> plain(admin.listAdminAuditLogKeysWithHttpInfo());
      default -> throw new IllegalArgumentException("no operation " + step.get("call"));
    };
  }

  private static List<String> texts(ObjectNode given, String name) {
    return given.has(name) ? IntStream.range(0, given.get(name).size()).mapToObj(i -> given.get(name).get(i).asText()).toList() : null;
  }

  /** A tail's entries as the items of an object, and its end as a member. */
  private static Answer tail(ApiClient client, ObjectNode given) throws ApiException, IOException, InterruptedException {
    HttpResponse<InputStream> response = raw(client, "/audit-logs/tail", given);
    try (InputStream stream = response.body()) {
      ObjectNode value = JSON.createObjectNode();
      ArrayNode items = value.putArray("items");
      for (String event : new String(stream.readAllBytes(), StandardCharsets.UTF_8).split("\n\n")) {
        int at = event.indexOf("data: ");
        if (at < 0) continue;
        JsonNode data = JSON.readTree(event.substring(at + 6));
        if (event.contains("event: entry\n")) items.add(data);
        if (event.contains("event: end\n")) value.set("end", data);
      }
      return new Answer(200, flat(response.headers().map()), value, null);
    }
  }

  /**
   * The generated method knows one media type of an answer, JSON. For the others, the generated
   * client's address, interceptor and HTTP client are at hand, and this way it streams.
   */
  private static HttpResponse<InputStream> raw(ApiClient client, String path, ObjectNode given) throws ApiException, IOException, InterruptedException {
    String query = given.properties().stream()
        .map(p -> p.getKey() + "=" + URLEncoder.encode(p.getValue().asText(), StandardCharsets.UTF_8))
        .collect(Collectors.joining("&"));
    HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(client.getBaseUri() + path + "?" + query));
    Consumer<HttpRequest.Builder> authorize = client.getRequestInterceptor();
    authorize.accept(request);
    HttpResponse<InputStream> response = client.getHttpClient().send(request.build(), HttpResponse.BodyHandlers.ofInputStream());
    if (response.statusCode() == 200) return response;
    try (InputStream stream = response.body()) {
      throw new ApiException(response.statusCode(), response.headers(), new String(stream.readAllBytes(), StandardCharsets.UTF_8));
    }
  }

  private static Answer exportCsv(ApiClient client, ObjectNode given) throws ApiException, IOException, InterruptedException {
    HttpResponse<InputStream> response = raw(client, "/audit-logs/export", given);
    try (InputStream stream = response.body()) {
      CSVParser csv = CSVFormat.RFC4180.builder().setHeader().get().parse(new InputStreamReader(stream, StandardCharsets.UTF_8));
      ObjectNode value = JSON.createObjectNode();
      value.set("header", JSON.valueToTree(csv.getHeaderNames()));
      ArrayNode rows = value.putArray("rows");
      for (CSVRecord line : csv) rows.add(JSON.<JsonNode>valueToTree(line.toMap()));
      return new Answer(200, flat(response.headers().map()), value, null);
    }
  }

  private void walk(ApiClient client, JsonNode step, ObjectNode given, ObjectNode whole) throws ApiException, IOException, InterruptedException {
    String member = whole.has("logs") ? "logs" : "items";
    ArrayNode entries = (ArrayNode) whole.get(member);
    for (JsonNode page = whole; page.hasNonNull("nextCursor"); ) {
      given.set("cursor", page.get("nextCursor"));
      page = call(client, step, given).value;
      entries.addAll((ArrayNode) page.get(member));
      check(entries.size() <= 1000, "the walk", "endless", "finite");
    }
  }

  private void hold(JsonNode expect, Answer got) {
    String problem = text(expect, "problem");
    check(got.status == expect.get("status").asInt() && (problem == null ? got.problem == null : problem.equals(got.problem)),
        "the outcome", got, expect.get("status") + " " + problem);
    expect.path("headers").properties().forEach(header -> {
      String found = got.headers.get(header.getKey());
      JsonNode wanted = header.getValue();
      boolean right = wanted.isNull() ? found == null : found != null && (wanted.asText().equals("*") || wanted.asText().equals(found));
      check(right, header.getKey(), found, wanted);
    });
    expect.path("equal").properties().forEach(equal -> {
      JsonNode wanted = expand(equal.getValue());
      JsonNode found = got.value.at(equal.getKey());
      check(wanted.isNull() ? found.isMissingNode() || found.isNull() : same(found, wanted), equal.getKey(), found, wanted);
    });
    expect.path("present").forEach(pointer -> {
      JsonNode found = got.value.at(pointer.asText());
      check(!found.isMissingNode() && !found.isNull(), pointer, found, "anything");
    });
    expect.path("length").properties().forEach(length -> {
      JsonNode found = got.value.at(length.getKey());
      check(found.isArray() && found.size() == length.getValue().asInt(), length.getKey(), found, length.getValue());
    });
    if (expect.has("ids")) {
      ArrayNode found = JSON.createArrayNode();
      for (String member : new String[] {"items", "logs", "rows"}) got.value.path(member).forEach(entry -> found.add(entry.get("id")));
      JsonNode wanted = expand(expect.get("ids"));
      check(same(found, wanted), "the ids", found, wanted);
    }
    expect.path("instant").properties().forEach(instant -> {
      String found = got.value.at(instant.getKey()).asText();
      String wanted = expand(instant.getValue()).asText();
      check(OffsetDateTime.parse(found).isEqual(OffsetDateTime.parse(wanted)), instant.getKey(), found, wanted);
    });
    expect.path("save").properties().forEach(save -> saved.put(save.getKey(), got.value.at(save.getValue().asText())));
  }

  private static void check(boolean right, Object what, Object found, Object wanted) {
    if (!right) throw new AssertionError(what + " is " + found + ", not " + wanted);
  }

  /** Compares JSON values, numbers by what they are worth. */
  private static boolean same(JsonNode a, JsonNode b) {
    if (a.isNumber() && b.isNumber()) return a.decimalValue().compareTo(b.decimalValue()) == 0;
    if (!a.isContainerNode() || a.getNodeType() != b.getNodeType() || a.size() != b.size()) return a.equals(b);
    if (a.isObject()) return a.properties().stream().allMatch(p -> b.has(p.getKey()) && same(p.getValue(), b.get(p.getKey())));
    return IntStream.range(0, a.size()).allMatch(i -> same(a.get(i), b.get(i)));
  }

  /** Puts in what was saved. A text that is one variable takes its value's type. */
  private JsonNode expand(JsonNode value) {
    if (value.isArray()) {
      ArrayNode list = JSON.createArrayNode();
      value.forEach(element -> list.add(expand(element)));
      return list;
    }
    if (value.isObject()) {
      ObjectNode object = JSON.createObjectNode();
      value.properties().forEach(p -> object.set(p.getKey(), expand(p.getValue())));
      return object;
    }
    if (!value.isTextual()) return value;
    Matcher whole = VARIABLE.matcher(value.asText());
    if (whole.matches()) {
      JsonNode found = saved.get(whole.group(1));
      if (found == null || found.isMissingNode() || found.isNull()) throw new IllegalStateException("nothing was saved as " + whole.group(1));
      return found;
    }
    String text = MANY.matcher(value.asText()).replaceAll(many -> "x".repeat(Integer.parseInt(many.group(1))));
    return TextNode.valueOf(VARIABLE.matcher(text).replaceAll(name -> Matcher.quoteReplacement(saved.get(name.group(1)).asText())));
  }

  private static Answer plain(ApiResponse<?> response) {
    return new Answer(response.getStatusCode(), flat(response.getHeaders()), JSON.valueToTree(response.getData()), null);
  }

  private static Map<String, String> flat(Map<String, List<String>> headers) {
    Map<String, String> first = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
    headers.forEach((name, values) -> first.put(name, values.get(0)));
    return first;
  }

  private static Long size(ObjectNode given, String name) {
    return given.has(name) ? given.get(name).asLong() : null;
  }

  private static String text(JsonNode object, String name) {
    return object.has(name) ? object.get(name).asText() : null;
  }
}
