// Record, meet a conflict as a problem, read a resource's history, through the Kotlin client.
import com.fasterxml.jackson.module.kotlin.readValue
import dev.ocore.audit.apis.AuditApi
import dev.ocore.audit.infrastructure.ApiClient
import dev.ocore.audit.infrastructure.ClientError
import dev.ocore.audit.infrastructure.ClientException
import dev.ocore.audit.infrastructure.Serializer
import dev.ocore.audit.models.NewAuditLog
import dev.ocore.audit.models.Problem
import kotlin.system.exitProcess

fun check(right: Boolean, what: String) {
    println("${if (right) "ok  " else "FAIL"} kotlin: $what")
    if (!right) exitProcess(1)
}

fun main() {
    ApiClient.accessToken = System.getenv("TOKEN")
    val audit = AuditApi(System.getenv("OCORE_AUDIT_URL") + "/api")
    val id = "kt" + System.currentTimeMillis()
    val odd = "eu/rack 7/50%25 ü $id"
    val entry = NewAuditLog(id = id, action = "a.b", resourceType = "t", resourceId = odd, afterState = mapOf("list" to emptyList<Any>()))
    val stored = audit.createAuditLog(entry)
    check(stored.id == id && stored.beforeState == null, "record")
    check(audit.listAuditLogs(resourceType = "t", resourceId = odd, perPage = 5).perPage == 5, "list")
    val page = audit.listResourceAuditLogs("t", odd)
    check(page.total == 1L && page.items[0].resourceId == odd, "history")
    try {
        audit.createAuditLog(entry.copy(action = "other"))
        check(false, "conflict")
    } catch (e: ClientException) {
        val problem: Problem = Serializer.jacksonObjectMapper.readValue((e.response as ClientError<*>).body as String)
        check(e.statusCode == 409 && problem.id == id, "conflict")
    }
}
